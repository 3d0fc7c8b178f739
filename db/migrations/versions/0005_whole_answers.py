"""How an answer ended, which model gave it, and all that it said."""

from pathlib import Path

from alembic import op

from db.migrate import run_script

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql"))
