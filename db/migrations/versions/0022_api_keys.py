"""Tenants are made by people, and API keys belong to them."""

from pathlib import Path

from alembic import op

from db.migrate import run_script

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql"))
