"""The reference of audits has every member and violation, and that of waiting work every reason, as in the code."""

from typing import get_args

from api.schemas.audits import AuditCounts
from api.schemas.jobs import Held
from api.schemas.queue import StuckReason
from db.audit import MUST_BE_ZERO
from tests.support.documentation import names_in, table

AUDIT, WAITING = "docs/reference/audit.md", "docs/reference/waiting.md"


def test_the_reference_has_every_count_of_an_audit() -> None:
    rows = table(AUDIT, "member", "counts", "must be 0")
    assert {names_in(row[0])[0] for row in rows} == AuditCounts.model_fields.keys() - {"holds", "violations"}


def test_the_reference_says_what_must_be_0() -> None:
    members = {names_in(name)[0] for name, _, must in table(AUDIT, "member", "counts", "must be 0") if must == "yes"}
    others = {names_in(row[0])[0] for row in table(AUDIT, "violation", "compares")}
    assert members | others == set(MUST_BE_ZERO)
    assert members & others == set()


def test_the_reference_has_every_reason_of_waiting() -> None:
    held = {names_in(row[0])[0] for row in table(WAITING, "`held.reason`", "means", "ends")}
    assert held == set(get_args(Held.model_fields["reason"].annotation))
    stuck = {names_in(row[0])[0] for row in table(WAITING, "`stuck.reason`", "means", "ends")}
    assert stuck == set(get_args(StuckReason))
