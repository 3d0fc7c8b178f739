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
    """Write openapi.json, the description of the API, into the current folder."""
    from api.app import create_app  # noqa: PLC0415 (no other command needs the API's modules)

    described = json.dumps(create_app().openapi(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    if not check:
        PATH.write_text(described, encoding="utf-8")
    elif not PATH.exists() or PATH.read_text(encoding="utf-8") != described:
        raise StartError(f"{PATH} isn't what the code describes: run `make openapi` and commit it.")
