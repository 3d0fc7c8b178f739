"""The commands that work over the network: jobs, their cells, and dead letters."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from cli.loading import loading
from cli.remote.errors import WrongUse

if TYPE_CHECKING:
    from cli.remote.service import Service

# Each command imports its modules when it runs, so that completion and help are quick.
# ruff: noqa: PLC0415

Url = Annotated[
    str | None,
    typer.Option("--url", help="The service; else BREAKWATER_URL, else http://127.0.0.1:8000.", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON documents, one a line, and nothing else on stdout.")]
RetryFor = Annotated[
    float,
    typer.Option("--retry-for", min=0, metavar="SECONDS", help="For how long a request without an answer is repeated."),
]
Limit = Annotated[int, typer.Option("--limit", min=1, help="How many are shown at most.")]
Reason = Annotated[str | None, typer.Option("--reason", help="Why; the job's events show it.")]
JobId = Annotated[str, typer.Argument(metavar="JOB", help="The job's id.", show_default=False)]
JobIds = Annotated[list[str], typer.Argument(metavar="JOB…", help="Ids of jobs.", show_default=False)]
Text: TypeAlias = str | None
Work: TypeAlias = "Callable[[Service], Awaitable[int]]"

READ_SECONDS = 10.0
SUBMIT_SECONDS = 60.0
WATCH_SECONDS = 300.0
"""A service is away for so long at the most where an operator restarts or upgrades it."""


def submit(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE…", help="Specs in JSON; `-` is stdin.", show_default=False)
    ],
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run, and store nothing.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Follow the jobs to their end.")] = False,
    key: Annotated[
        str | None,
        typer.Option("--key", metavar="IDEMPOTENCY-KEY", help="The submission's key; else one is made and kept."),
    ] = None,
    url: Url = None,
    retry_for: RetryFor = SUBMIT_SECONDS,
    as_json: AsJson = False,
) -> None:
    """Submit specs; each is accepted once, also if this is killed before the answer and run again."""
    with loading():
        from cli.remote import submitting

    def prepare() -> Work:
        if dry_run and watch:
            raise WrongUse("--dry-run makes no job that could be watched: leave --watch out.")
        specs = submitting.read_specs(files)
        submitting.check_key(key, specs)
        how = submitting.Submitting(dry_run, key, as_json, WATCH_SECONDS if watch else None)
        return lambda service: submitting.submit(service, specs, how)

    _ask(url, prepare, retry_for)


def watch_jobs(jobs: JobIds, *, url: Url = None, retry_for: RetryFor = WATCH_SECONDS, as_json: AsJson = False) -> None:
    """Follow jobs to their end; Ctrl-C leaves them running. Exits with 1 unless all completed."""
    with loading():
        from cli.remote import watching

    _ask(
        url,
        lambda: lambda service: watching.watch(service, jobs, give_up_seconds=retry_for, as_json=as_json),
        retry_for,
    )


def list_jobs(
    *,
    status: Annotated[Text, typer.Option(help="A state, or several separated by commas.")] = None,
    kind: Annotated[Text, typer.Option(help="inference or import.")] = None,
    name: Annotated[Text, typer.Option(help="The whole name.")] = None,
    name_prefix: Annotated[Text, typer.Option(help="How the name begins.")] = None,
    spec_hash: Annotated[Text, typer.Option(help="The hash of the content.")] = None,
    error_code: Annotated[Text, typer.Option(help="The code of its error, or of an execution's or batch's.")] = None,
    model: Annotated[Text, typer.Option(help="The id of a model.")] = None,
    region: Annotated[Text, typer.Option(help="A region, by name or alias.")] = None,
    created_after: Annotated[Text, typer.Option(help="From this moment on, such as 2026-01-31T12:00:00Z.")] = None,
    created_before: Annotated[Text, typer.Option(help="Before this moment.")] = None,
    finished_after: Annotated[Text, typer.Option(help="Ended from this moment on.")] = None,
    finished_before: Annotated[Text, typer.Option(help="Ended before this moment.")] = None,
    metadata: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="A value of the metadata; may be repeated.")
    ] = None,
    limit: Limit = 50,
    url: Url = None,
    retry_for: RetryFor = READ_SECONDS,
    as_json: AsJson = False,
) -> None:
    """List jobs, newest first."""
    with loading():
        from cli.remote import looking

    wanted = {
        "status": status,
        "kind": kind,
        "name": name,
        "name_prefix": name_prefix,
        "spec_hash": spec_hash,
        "error_code": error_code,
        "model": model,
        "region": region,
        "created_after": created_after,
        "created_before": created_before,
        "finished_after": finished_after,
        "finished_before": finished_before,
    }

    def prepare() -> Work:
        parameters = [*_given(wanted), *_metadata(metadata or [])]
        return _shows(lambda service: looking.print_jobs(service, parameters, limit=limit, as_json=as_json))

    _ask(url, prepare, retry_for)


def show_job(job: JobId, *, url: Url = None, retry_for: RetryFor = READ_SECONDS, as_json: AsJson = False) -> None:
    """Show a job: how far it is, why it waits, what went wrong."""
    with loading():
        from cli.remote import looking

    _ask(url, lambda: _shows(lambda service: looking.print_job(service, job, as_json=as_json)), retry_for)


def list_executions(
    job: JobId,
    *,
    status: Annotated[Text, typer.Option(help="A state.")] = None,
    model: Annotated[Text, typer.Option(help="A model's id.")] = None,
    region: Annotated[Text, typer.Option(help="A region, by name or alias.")] = None,
    question: Annotated[Text, typer.Option(help="A question's id.")] = None,
    limit: Limit = 200,
    url: Url = None,
    retry_for: RetryFor = READ_SECONDS,
    as_json: AsJson = False,
) -> None:
    """List the cells of a job with their answers, in plan order."""
    with loading():
        from cli.remote import looking

    parameters = _given({"status": status, "model": model, "region": region, "question": question})
    _ask(
        url,
        lambda: _shows(lambda s: looking.print_executions(s, job, parameters, limit=limit, as_json=as_json)),
        retry_for,
    )


def cancel(
    jobs: JobIds,
    *,
    reason: Reason = None,
    url: Url = None,
    retry_for: RetryFor = READ_SECONDS,
    as_json: AsJson = False,
) -> None:
    """End what is open of jobs, for good. Results that were recorded stay."""
    with loading():
        from cli.remote import acting

    _ask(url, lambda: lambda service: acting.cancel(service, jobs, reason=reason, as_json=as_json), retry_for)


def retry(
    jobs: JobIds,
    *,
    model: Annotated[Text, typer.Option(help="Only what failed of this model.")] = None,
    region: Annotated[Text, typer.Option(help="Only what failed in this region.")] = None,
    error_code: Annotated[Text, typer.Option(help="Only what failed with this code.")] = None,
    reason: Reason = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would run again.")] = False,
    url: Url = None,
    retry_for: RetryFor = READ_SECONDS,
    as_json: AsJson = False,
) -> None:
    """Run again what failed of jobs."""
    with loading():
        from cli.remote import acting

    wanted = {"model": model, "region": region, "error_code": error_code, "reason": reason}
    _ask(
        url,
        lambda: lambda service: acting.retry(service, jobs, wanted, dry_run=dry_run, as_json=as_json),
        retry_for,
    )


dead = typer.Typer(help="List and replay dead letters: cells whose tries were used up.", no_args_is_help=True)


@dead.command("list")
def list_dead_letters(
    *,
    tenant: Annotated[Text, typer.Option(help="Only those of this tenant.")] = None,
    limit: Limit = 50,
    url: Url = None,
    retry_for: RetryFor = READ_SECONDS,
    as_json: AsJson = False,
) -> None:
    """List the dead letters of all tenants, newest first."""
    with loading():
        from cli.remote import looking

    parameters = _given({"tenant": tenant})
    _ask(
        url,
        lambda: _shows(lambda s: looking.print_dead_letters(s, parameters, limit=limit, as_json=as_json)),
        retry_for,
    )


@dead.command("replay")
def replay_dead_letters(
    ids: Annotated[list[int], typer.Argument(metavar="ID…", help="As the list shows them.", show_default=False)],
    *,
    reason: Reason = None,
    url: Url = None,
    retry_for: RetryFor = READ_SECONDS,
    as_json: AsJson = False,
) -> None:
    """Try dead letters again."""
    with loading():
        from cli.remote import acting

    _ask(url, lambda: lambda service: acting.replay(service, ids, reason=reason, as_json=as_json), retry_for)


def _ask(url: str | None, prepare: "Callable[[], Work]", retry_seconds: float) -> None:
    """Run the work that `prepare` returns, and end the process with its exit code."""
    with loading():
        from cli.remote import running

    raise typer.Exit(running.ask(url, prepare, retry_seconds=retry_seconds))


def _shows(show: "Callable[[Service], Awaitable[None]]") -> Work:
    async def work(service: "Service") -> int:
        await show(service)
        return 0

    return work


def _given(wanted: dict[str, str | None]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in wanted.items() if value is not None]


def _metadata(given: list[str]) -> list[tuple[str, str]]:
    pairs = [text.partition("=") for text in given]
    if wrong := [text for text, (key, equals, _) in zip(given, pairs, strict=True) if not (key and equals)]:
        raise WrongUse(f"`--metadata {wrong[0]}` can't be taken: give KEY=VALUE.")
    return [(f"metadata.{key}", value) for key, _, value in pairs]
