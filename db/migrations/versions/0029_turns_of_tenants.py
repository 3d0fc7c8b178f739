"""Tenants take turns: jobs that wait to be planned, and batches that are ready, are found by tenant."""

from pathlib import Path

from alembic import op

from db.migrate import run_script

revision = "0029"
down_revision = "0030"
branch_labels = None
depends_on = None

concurrent_index = "jobs_waiting_by_tenant"


def upgrade() -> None:
    """Do the rest; `db.migrate` has built the index, by the file beside this one."""
    run_script(op.get_bind(), Path(__file__).with_name("0029_virtual_time_of_tenants.sql"))
