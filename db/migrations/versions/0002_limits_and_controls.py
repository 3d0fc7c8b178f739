"""Limits, gates, pauses, start marks, dead letters, and what a person's retry or resolve leaves behind."""

from pathlib import Path

from alembic import op

from db.migrate import run_script

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql"))
