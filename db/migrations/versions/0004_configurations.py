"""Configurations: what is committed, under which identities jobs were accepted, and which identity answered."""

from pathlib import Path

from alembic import op

from db.migrate import run_script

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql"))
