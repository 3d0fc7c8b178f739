"""What is used of the limits of API keys is counted."""

from pathlib import Path

from alembic import op

from db.migrate import run_script

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql"))
