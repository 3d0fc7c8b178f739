"""Problem documents (RFC 9457) in words: title, detail, each reason with its place, and what helps to mend it."""

from collections.abc import Iterator, Mapping
from typing import Any

from cli.remote.printable import one_line

MOST_REASONS = 20
_ADVICE = {
    401: "Set BREAKWATER_API_KEY to a valid key.",
    403: "Use a key that has the scope.",
}
_OF_EVERY_PROBLEM = {"type", "title", "status", "detail", "code", "errors", "request_id", "instance"}
_OF_EVERY_REASON = {"pointer", "parameter", "code", "detail"}


def describe(problem: Mapping[str, Any]) -> str:
    """Return the problem in words, as several lines without the last line's end."""
    return "\n".join(_lines(problem))


def _lines(problem: Mapping[str, Any]) -> Iterator[str]:
    yield one_line(f"{problem.get('title', 'Refused')} ({problem.get('status')} {problem.get('code')})")
    if detail := problem.get("detail"):
        yield f"  {one_line(detail)}"
    reasons = [reason for reason in problem.get("errors") or () if isinstance(reason, Mapping)]
    reasons = [reason for reason in reasons if _place(reason) or reason.get("detail") != problem.get("detail")]
    for reason in reasons[:MOST_REASONS]:
        yield from _reason_lines(reason)
    if len(reasons) > MOST_REASONS:
        yield f"  … and {len(reasons) - MOST_REASONS} more; --json prints all."
    yield from _members(problem, _OF_EVERY_PROBLEM, indent="  ")
    if advice := _ADVICE.get(problem.get("status", 0)):
        yield f"  {advice}"
    page = str(problem.get("type", ""))
    if page.startswith(("http://", "https://")):
        yield f"  {one_line(page)}"
    if request_id := problem.get("request_id"):
        yield f"  request {one_line(request_id)}"


def _reason_lines(reason: Mapping[str, Any]) -> Iterator[str]:
    where = f"{_place(reason) or 'the body'}: "
    yield f"  {one_line(where)}{one_line(reason.get('detail', ''))} ({one_line(reason.get('code'))})"
    yield from _members(reason, _OF_EVERY_REASON, indent="    ")


def _place(reason: Mapping[str, Any]) -> str:
    """Return the pointer or the parameter; empty for the whole body."""
    return str(reason.get("pointer") or reason.get("parameter") or "")


def _members(described: Mapping[str, Any], known: set[str], *, indent: str) -> Iterator[str]:
    """Yield the further members that help to mend it, such as `allowed`, `nearest` or `scope`."""
    for name, value in described.items():
        if name in known or value is None:
            continue
        match value:
            case list() if all(isinstance(each, str | int | float) for each in value):
                shown = ", ".join(map(str, value))
            case {"id": job_id, "status": status}:
                shown = f"{job_id} ({status})"
            case str() | int() | float():
                shown = str(value)
            case _:
                continue
        yield f"{indent}{one_line(name)}: {one_line(shown)}"
