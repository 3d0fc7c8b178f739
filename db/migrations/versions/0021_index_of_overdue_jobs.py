"""Overdue queued jobs are found by an index, however many wait."""

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

concurrent_index = "jobs_by_overdue"


def upgrade() -> None:
    """Do nothing: `db.migrate` has built the index, by the file beside this one."""
