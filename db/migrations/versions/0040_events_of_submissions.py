"""Each POST that is answered with an open job is an event of it."""

from pathlib import Path

from alembic import op

from db.migrate import run_script

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql"))
