"""The audit log may be kept for a number of days that the owner of the tables sets; nothing younger is removed."""

from pathlib import Path

from alembic import op

from db.migrate import run_script

revision = "0045"
down_revision = "0044"
branch_labels = None
depends_on = None

concurrent_index = "submissions_without_job"


def upgrade() -> None:
    """Do the rest; `db.migrate` has built the index, by the file beside this one."""
    run_script(op.get_bind(), Path(__file__).with_name("0045_removal_of_audit_entries.sql"))
