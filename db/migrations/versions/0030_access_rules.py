"""What decides who sees and changes which rows is recorded, so that a process can tell what somebody changed."""

from pathlib import Path

from alembic import op

from db.migrate import run_script

revision = "0030"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql"))
