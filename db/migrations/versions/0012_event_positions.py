"""Positions of events are unique and can be looked up."""

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

concurrent_index = "unique_event_position"


def upgrade() -> None:
    """Do nothing: `db.migrate` has built the index, by the file beside this one."""
