"""Whether records are kept by the value of their keys: `1.0` and `1.00` are then one."""

from pathlib import Path

from alembic import op

from db.migrate import run_script

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql"))
