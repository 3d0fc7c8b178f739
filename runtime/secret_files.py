"""Secrets in files: `NAME_FILE` names a file that holds the value of the environment variable NAME."""

from collections.abc import Mapping
from pathlib import Path

SUFFIX = "_FILE"
_MOST_BYTES = 64 * 2**10


class Unreadable(ValueError):
    """The reason why a variable's value can't be had, and the remedy; it shows no value."""


def read_variable(name: str, environment: Mapping[str, str]) -> str | None:
    """Return a variable's value or, without the line's end, the content of its file; None if neither is given.

    An empty variable counts as not given. Raises Unreadable for both at once, and for a file that holds no value.
    """
    value, file = environment.get(name), environment.get(name + SUFFIX)
    if not file:
        return value or None
    if value:
        raise Unreadable(f"{name} and {name}{SUFFIX} are both in the environment: unset one of them.")
    return _read(Path(file), f"{name}{SUFFIX} names {file}, which")


def _read(path: Path, which: str) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise Unreadable(f"{which} can't be read ({error.strerror}): name a file that this process can read.") from None
    try:
        value = content.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise Unreadable(f"{which} isn't text in UTF-8: write the value alone into it.") from None
    if not value:
        raise Unreadable(f"{which} is empty: write the value into it.")
    if len(content) > _MOST_BYTES or "\n" in value:
        raise Unreadable(f"{which} has more than one line: write the value alone into it.")
    return value
