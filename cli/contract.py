"""The command that writes the API's description into the repository."""

import json
from pathlib import Path
from typing import Annotated

import typer

from runtime.errors import StartError

PATH = Path("openapi.json")


def openapi(
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Only fail if the file isn't what the code describes.")
    ] = False,
) -> None:
    """Write openapi.json, the description of the API, and the explanations of problems into the project's folder."""
    from api import problem_texts  # noqa: PLC0415 (no other command needs the API's modules)
    from api.app import create_app  # noqa: PLC0415

    described = json.dumps(create_app().openapi(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    if missing := [page for page in problem_texts.SOURCES if not page.exists()]:
        raise StartError(f"Run this in the project's folder: there is no {missing[0]} here.")
    explained = problem_texts.as_json(page.read_text(encoding="utf-8") for page in problem_texts.SOURCES)
    for path, content in ((PATH, described), (problem_texts.FILE, explained)):
        if not check:
            path.write_text(content, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != content:
            raise StartError(f"{path.name} isn't what code and reference say: run `make openapi` and commit it.")
