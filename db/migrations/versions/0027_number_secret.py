"""The secret that seals numbers which are counted over all tenants."""

from pathlib import Path

from alembic import op

from db.migrate import run_script

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql"))
