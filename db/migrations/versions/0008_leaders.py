"""Who leads: a leased row, in place of a lock that belongs to a session."""

from pathlib import Path

from alembic import op

from db.migrate import run_script

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql"))
