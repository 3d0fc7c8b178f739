"""The audit log finds actions, tenants and keys by indexes, and knows the session of a submission."""

from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None

concurrent_index = (
    "audit_entries_by_action",
    "audit_entries_by_tenant",
    "audit_entries_by_key",
    "submissions_by_tenant",
    "submissions_by_sender",
)


def upgrade() -> None:
    """Do the rest; `db.migrate` has built the indexes, by the files beside this one."""
    op.execute("ALTER TABLE submissions ADD COLUMN session_id text")
