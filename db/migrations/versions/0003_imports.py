"""Imports: who coordinates one, what its record types hold, which rows a batch reads, and what was read."""

from pathlib import Path

from alembic import op

from db.migrate import run_script

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql"))
