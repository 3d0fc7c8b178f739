"""Kinds of jobs are rows that jobs refer to."""

from pathlib import Path

from alembic import op

from db.migrate import run_script

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql"))
