"""Tenants may have limits over all their keys, and what is used of them is counted."""

from pathlib import Path

from alembic import op

from db.migrate import run_script

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql"))
