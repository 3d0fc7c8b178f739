"""`doctor`: looks at everything that an operator would look at, and says what to do."""

from collections.abc import AsyncIterator, Iterable
from http import HTTPStatus

from cli.remote.errors import NotReached, Refused
from cli.remote.findings import Finding, Report, failing, warning
from cli.remote.output import terminal
from cli.remote.service import Service
from cli.remote.service_checks import check_key, check_reached, check_stores
from cli.remote.work_checks import CHECKS, Check


async def examine(service: Service, local: Iterable[Finding], *, as_json: bool) -> int:
    """Print the findings, those on this machine first; return 1 if something is failing, 3 if no service answers."""
    report = Report(terminal(), as_json=as_json)
    for finding in local:
        report.add(finding)
    try:
        async for finding in check_reached(service):
            report.add(finding)
    except NotReached as error:
        report.add(failing("service", str(error), "Start it, or name another one by --url or BREAKWATER_URL."))
        report.end()
        return error.exit_code
    for name, check in (("ready", check_stores), ("key", check_key), *CHECKS):
        async for finding in _found(service, name, check):
            report.add(finding)
    return report.end()


async def _found(service: Service, name: str, check: Check) -> AsyncIterator[Finding]:
    """Yield what a check finds, or why it couldn't be made."""
    try:
        async for finding in check(service):
            yield finding
    except Refused as error:
        if error.status == HTTPStatus.UNAUTHORIZED:  # said by the check of the key
            return
        if lacked := error.problem.get("scope"):
            yield warning(name, f"not looked at: the key lacks the scope `{lacked}`", f"Use a key with `{lacked}`.")
        else:
            yield failing(name, f"refused: {error.problem.get('detail', error)}", "As it says.")
    except NotReached as error:
        if (error.problem or {}).get("status") == HTTPStatus.TOO_MANY_REQUESTS:
            do = "Run it again with a key of more requests_per_second: doctor sends about ten at once."
            yield warning(name, f"not looked at: {error}", do)
            return
        yield failing(name, f"can't be looked at: {error}", "Look at the API's log.")
