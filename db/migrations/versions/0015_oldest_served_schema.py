"""The schema says which releases work on it."""

from pathlib import Path

from alembic import op

from db.migrate import run_script

revision = "0015"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql"))
