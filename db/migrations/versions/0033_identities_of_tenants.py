"""What the configuration keeps for tenants has an identity for each of them, which no other sees."""

from pathlib import Path

from alembic import op

from db.migrate import run_script

revision = "0033"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql"))
