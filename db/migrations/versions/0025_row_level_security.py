"""Requests of tenants see the rows of their tenant alone, whatever a statement asks for."""

from pathlib import Path

from alembic import op

from db.migrate import run_script

revision = "0025"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql"))
