"""The alert rules: they parse, each fires when it should and only then, and the documentation explains each."""

import re
import subprocess

from tests.deploy.alert_rules import ROOT, RULES, alerts
from tests.support.programs import require_program

TESTS = RULES.with_name("alerts.test.yml")


def test_the_rules_are_well_formed() -> None:
    checked = subprocess.run(
        [require_program("promtool"), "check", "rules", "--lint-fatal", RULES],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert len(alerts()) > 10


def test_each_alert_fires_when_it_should() -> None:
    tested = subprocess.run(
        [require_program("promtool"), "test", "rules", TESTS], capture_output=True, text=True, check=False
    )
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_each_alert_is_shown_to_fire_and_not_to_fire() -> None:
    cases = re.findall(r'alertname="(\w+)".*\n\s*eval_time: .*\n\s*exp_samples:( \[\])?', TESTS.read_text())
    assert {name for name, is_silent in cases if not is_silent} == set(alerts())
    assert {name for name, is_silent in cases if is_silent} == set(alerts())


def test_the_documentation_explains_each_alert() -> None:
    explained = re.findall(
        r"^\| `(Breakwater\w+)` \|", (ROOT / "docs" / "how-to" / "monitor.md").read_text(), re.MULTILINE
    )
    assert explained == alerts()
