"""The audit log: who did what to what, with which outcome. Nothing in it is ever changed."""

from pathlib import Path

from alembic import op

from db.migrate import run_script

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql"))
