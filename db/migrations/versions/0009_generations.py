"""Generations: imports of one record type have an order, and an older one never writes over a newer one."""

from pathlib import Path

from alembic import op

from db.migrate import run_script

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql"))
