"""What `breakwater doctor --json` finds."""

import json

from tests.cli.command_line import CommandLine


class Doctor:
    """The findings of a command line."""

    def __init__(self, command_line: CommandLine) -> None:
        self._command_line = command_line

    def findings(self, *arguments: str, code: int) -> dict[str, list[dict]]:
        """By check; the command ends with this exit code."""
        ended = self._command_line("doctor", "--json", *arguments)
        assert ended.returncode == code, (ended.stdout, ended.stderr)
        return self._read(ended.stdout)

    def any_findings(self) -> dict[str, list[dict]]:
        """By check, whatever the exit code."""
        return self._read(self._command_line("doctor", "--json").stdout)

    def _read(self, output: str) -> dict[str, list[dict]]:
        found: dict[str, list[dict]] = {}
        for line in output.splitlines():
            finding = json.loads(line)
            assert finding["level"] == "ok" or finding["do"], "what to do is said"
            found.setdefault(finding["check"], []).append(finding)
        return found

    def only(self, check: str, *, code: int) -> dict:
        [finding] = self.findings(code=code)[check]
        return finding
