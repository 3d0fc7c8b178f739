"""Sessions of people who use the service's pages."""

from pathlib import Path

from alembic import op

from db.migrate import run_script

revision = "0031"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql"))
