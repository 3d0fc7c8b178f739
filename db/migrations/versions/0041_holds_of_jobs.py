"""Timelines say what holds a job."""

from pathlib import Path

from alembic import op

from db.migrate import run_script

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql"))
