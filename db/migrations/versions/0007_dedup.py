"""Dedup: what ended under a content, keys of every action, and the filters of lists."""

from pathlib import Path

from alembic import op

from db.migrate import run_script

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql"))
