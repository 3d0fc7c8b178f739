"""The audit log finds the submissions of a time by an index."""

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None

concurrent_index = "submissions_by_time"


def upgrade() -> None:
    """Do nothing: `db.migrate` has built the index, by the file beside this one."""
