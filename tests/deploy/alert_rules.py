"""Where the alert rules are, and their names."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "alerts.yml"


def alerts() -> list[str]:
    """The names of the alerts, in the order of the file."""
    return re.findall(r"^\s*- alert: (\w+)$", RULES.read_text(), re.MULTILINE)
