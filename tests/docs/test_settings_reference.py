"""The reference of settings and commands matches the code and its defaults."""

import re

import typer

from cli.main import app
from runtime.settings import Settings, setting_names
from tests.support.documentation import ROOT, names_in, table


def _shown(default: object) -> str:
    match default:
        case None:
            return "none"
        case bool():
            return str(default).lower()
        case float():
            return f"{default:g}"
        case _:
            return str(default)


def test_the_reference_has_every_setting_with_its_default_and_values() -> None:
    rows = table("docs/reference/settings.md", "`BREAKWATER_…`", "default", "takes", "meaning")
    fields = {name: Settings.model_fields[name] for name in setting_names()}
    assert [names_in(name)[0].lower() for name, *_ in rows] == list(fields)
    assert [default for _, default, *_ in rows] == [_shown(field.default) for field in fields.values()]
    by_reference = {"redis_url"}  # what it takes is a page
    wanted = {name: field.description for name, field in fields.items() if name not in by_reference}
    given = {names_in(name)[0].lower(): takes for name, _, takes, _ in rows}
    assert {name: given[name] for name in wanted} == wanted


def test_the_reference_has_every_command() -> None:
    rows = table("docs/reference/commands.md", "command", "does")
    group = typer.main.get_group(app)
    wanted = set()
    for name, command in group.commands.items():
        wanted |= {f"{name} {inner}" for inner in getattr(command, "commands", ())}
        if not getattr(command, "no_args_is_help", False):
            wanted.add(name)
    assert {names_in(row[0])[0].removeprefix("breakwater ") for row in rows} == wanted


def test_every_make_target_is_in_the_reference() -> None:
    targets = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
    page = (ROOT / "docs/reference/commands.md").read_text()
    assert [name for name in targets if f"`{name}`" not in page and f"make {name}" not in page] == ["help"]
