"""A function whose text PostgreSQL can read again: a dump of the database was restored without it."""

from pathlib import Path

from alembic import op

from db.migrate import run_script

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql"))
