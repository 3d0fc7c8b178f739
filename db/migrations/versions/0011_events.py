"""How events are written, their order over all jobs, and what is asked of pauses, once each."""

from pathlib import Path

from alembic import op

from db.migrate import run_script

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql"))
