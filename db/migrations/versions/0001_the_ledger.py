"""The ledger: jobs, plans, batches under leases, and planned cells that end at most once."""

from pathlib import Path

from alembic import op

from db.migrate import run_script

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql"))
