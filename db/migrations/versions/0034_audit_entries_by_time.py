"""The audit log finds a time by an index."""

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

concurrent_index = "audit_entries_by_time"


def upgrade() -> None:
    """Do nothing: `db.migrate` has built the index, by the file beside this one."""
