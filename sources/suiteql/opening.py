"""Opening named SuiteQL queries."""

from domain.sources.suiteql import SuiteqlSettings
from domain.sources.suiteql import SuiteqlSource as SuiteqlSpec
from sources.opening import ReachedConnection
from sources.suiteql.service import SuiteqlConnection
from sources.suiteql.source import SuiteqlSource


class Opener:
    """Opens queries of one service, which share its calls."""

    def __init__(self, reached: ReachedConnection) -> None:
        assert isinstance(reached.settings, SuiteqlSettings)  # noqa: S101 - the type chose this class
        (token,) = reached.keys.values()
        self._connection = SuiteqlConnection(
            reached.url, token=token.get_secret_value(), queries=reached.settings.queries
        )

    def open(self, source: SuiteqlSpec) -> SuiteqlSource:
        """Return a query to read."""
        return SuiteqlSource(self._connection, source.query)

    def follow(self, reached: ReachedConnection) -> None:
        """Do nothing: an identity keeps its queries, and another token opens it anew."""

    async def aclose(self) -> None:
        """Close the service's connections."""
        await self._connection.aclose()
