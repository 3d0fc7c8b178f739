"""What ended is sampled each minute, and a worker may be drained."""

from pathlib import Path

from alembic import op

from db.migrate import run_script

revision = "0044"
down_revision = "0042"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql"))
