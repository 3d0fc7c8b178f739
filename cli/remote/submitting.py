"""`submit`: specs from files or stdin, each accepted once however often the request is sent, and followed if asked."""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.remote.errors import CommandFailed, NotReached, Refused, WrongUse
from cli.remote.output import print_json, print_line, print_note
from cli.remote.printable import number
from cli.remote.run_keys import RunKeys, run_keys
from cli.remote.running import is_ended_by_a_person
from cli.remote.service import Answer, Service
from cli.remote.watching import watch

STDIN = "-"
MOST_NOTES = 10
_KEY = re.compile(r"[!#-~]{1,255}")


@dataclass(frozen=True, slots=True)
class Spec:
    """What is submitted, as it was read: `name` is its file's."""

    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Submitting:
    """How specs are submitted; `key` is the Idempotency-Key of the only one. `watch_seconds`: see `watching.watch`."""

    dry_run: bool
    key: str | None
    as_json: bool
    watch_seconds: float | None


def read_specs(files: Sequence[str]) -> list[Spec]:
    """Read every file before anything is sent. Raises WrongUse for one that can't be read."""
    if files.count(STDIN) > 1:
        raise WrongUse("`-` can be given once: it reads stdin to its end.")
    return [Spec(name, _read(name)) for name in files]


def check_key(key: str | None, specs: Sequence[Spec]) -> None:
    """Raise WrongUse for a key of another form, or one that several submissions would share."""
    if key is None:
        return
    if not _KEY.fullmatch(key):
        raise WrongUse("--key takes 1 to 255 visible ASCII characters, without double quotes.")
    if len(specs) > 1:
        raise WrongUse("--key names one submission: give one FILE with it.")


async def submit(service: Service, specs: Sequence[Spec], how: Submitting) -> int:
    """Submit the specs and follow their jobs, if asked for; return the exit code.

    The run is over once its jobs were followed, or Ctrl-C ended that. One that is killed before, by SIGTERM too, or
    doesn't reach the service, is taken up by the next run. Raises NotReached.
    """
    with run_keys(service.address) as keys:
        job_ids, exit_code = await _submit_each(service, specs, how, keys)
        try:
            if how.watch_seconds is not None:
                watched = await watch(service, job_ids, give_up_seconds=how.watch_seconds, as_json=how.as_json)
                exit_code = max(exit_code, watched)
        finally:  # whatever else its end breaks: `| tee` ends with Ctrl-C, too
            if is_ended_by_a_person():
                keys.forget_all()
        keys.forget_all()
    return exit_code


async def _submit_each(
    service: Service, specs: Sequence[Spec], how: Submitting, keys: RunKeys
) -> tuple[list[str], int]:
    """Submit each spec and print the answer; return the ids of the jobs and the exit code.

    A refused spec doesn't keep the others from being sent.
    """
    job_ids: list[str] = []
    exit_code = 0
    for sent, spec in enumerate(specs):
        try:
            answer = await _submit_one(service, spec, how, keys)
        except Refused as error:
            _print_refusal(spec, error, as_json=how.as_json)
            exit_code = error.exit_code
        except NotReached as error:
            _print_unsent(spec, error, rest=[each.name for each in specs[sent + 1 :]], how=how)
            raise
        else:
            _print_answer(spec, answer, as_json=how.as_json)
            job_ids += [answer.content["job"]["id"]] if answer.content["job"] else []
    return job_ids, exit_code


async def _submit_one(service: Service, spec: Spec, how: Submitting, keys: RunKeys) -> Answer:
    if how.dry_run:
        return await service.post("/jobs", body=spec.content, parameters=[("dry_run", "true")], key=how.key)
    key = how.key or keys.key_for(spec.content)
    try:
        return await service.post("/jobs", body=spec.content, key=key)
    except Refused:
        keys.forget(key)
        raise


def _read(name: str) -> bytes:
    try:
        content = sys.stdin.buffer.read() if name == STDIN else Path(name).read_bytes()
    except OSError as error:
        raise WrongUse(f"{name} can't be read ({error.strerror}); nothing was submitted.") from None
    if not content.strip():
        raise WrongUse(f"{name} is empty; nothing was submitted.")
    return content


def _print_refusal(spec: Spec, error: Refused, *, as_json: bool) -> None:
    if as_json:
        print_json({"file": spec.name, **error.problem})
    print_note(f"{spec.name}: {error}")


def _print_unsent(spec: Spec, error: CommandFailed, *, rest: Sequence[str], how: Submitting) -> None:
    problem = getattr(error, "problem", None)
    if how.as_json and problem:
        print_json({"file": spec.name, **problem})
    if how.dry_run:
        return
    again = f"with --key {how.key}" if how.key else "again"
    print_note(
        f"{spec.name}: it isn't known whether it was accepted. Run the same command {again}: if it was, that one "
        "answers, and no second job is made."
    )
    if rest:
        print_note(f"Not submitted: {', '.join(rest)}.")


def _print_answer(spec: Spec, answer: Answer, *, as_json: bool) -> None:
    content = answer.content
    if as_json:
        print_json({"file": spec.name, **content})
        return
    for line in _describe(spec, answer):
        print_line(line)


def _describe(spec: Spec, answer: Answer) -> Iterator[str]:
    content = answer.content
    dedup = content["dedup"]
    named = f" {content['job']['id']}" if content["job"] else ""
    yield f"{spec.name}: {content['outcome']}{named} ({_planned(content['planned'])})"
    if answer.headers.get("Idempotent-Replayed"):
        yield "  the first answer again: this submission was accepted before, and this made no second job"
    if dedup["reason"] != "new":
        yield f"  {dedup['reason']}: submitted {dedup['times_seen']} times so far"
    if dedup.get("detail"):
        yield f"  {dedup['detail']}"
    if previous := dedup.get("previous"):
        yield f"  the job before with this content, {previous['job_id']}, ended {previous['status']}"
    notes = list(_notes(content["normalization"]))
    yield from notes[:MOST_NOTES]
    if len(notes) > MOST_NOTES:
        yield f"  … and {len(notes) - MOST_NOTES} more notes; --json prints all"


def _planned(planned: Mapping[str, Any]) -> str:
    if "executions" not in planned:
        rows = planned.get("rows")
        counted = f", {number(rows)} rows" if rows is not None else ""
        return f"{planned['record_types']} record types in {planned['levels']} levels{counted}"
    parts = (f"{planned[name]} {name}" for name in ("models", "regions", "questions"))
    return f"{number(planned['executions'])} cells: {', '.join(parts)}"


def _notes(notes: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Return a line for each thing that was understood differently; what was so in several places is one line."""
    paths_by_words: dict[str, list[str]] = {}
    for note in notes:
        paths_by_words.setdefault(_in_words(note), []).append(note["path"] or "the body")
    for words, paths in paths_by_words.items():
        more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        yield f"  {paths[0]}{more}: {words}"


def _in_words(note: Mapping[str, Any]) -> str:
    change = f" {note['from']} → {note['to']}" if note.get("from") is not None and note.get("to") is not None else ""
    detail = f". {note['detail']}" if note.get("detail") else ""
    return f"{note['action'].replace('_', ' ')}{change}{detail}"
