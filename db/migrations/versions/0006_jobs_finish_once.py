"""Jobs finish once: when one ended doesn't move, and one event tells of each end."""

from pathlib import Path

from alembic import op

from db.migrate import run_script

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql"))
