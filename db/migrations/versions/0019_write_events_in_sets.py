"""A statement of many jobs writes its events at once, and looks up the virtual time of each queue once."""

from pathlib import Path

from alembic import op

from db.migrate import run_script

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql"))
