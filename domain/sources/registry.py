"""The list of all source types. Code that depends on a source's type uses this list; there is no other.

To add a type: a module in this folder for its specs and settings; a package in `sources/` with the type's name and an
`opening.py`; a line here; a row in docs/reference/sources.md and its page in
docs/reference/sources/.
"""

from collections.abc import Mapping

from domain.sources.connection import ConnectionSettings
from domain.sources.file import FileSource
from domain.sources.mysql import MysqlSource
from domain.sources.source import ConnectionSource, Source
from domain.sources.sql import SqlSource
from domain.sources.sqlite import SqliteSource
from domain.sources.suiteql import SuiteqlSource

SOURCES: tuple[type[Source], ...] = (FileSource, SqlSource, SuiteqlSource, SqliteSource, MysqlSource)

SOURCE_BY_TYPE: Mapping[str, type[Source]] = {source.type_name: source for source in SOURCES}
SOURCE_BY_CONNECTION: Mapping[str, type[ConnectionSource]] = {
    source.settings.type_name: source for source in SOURCES if issubclass(source, ConnectionSource)
}
SETTINGS_BY_CONNECTION: Mapping[str, type[ConnectionSettings]] = {
    name: source.settings for name, source in SOURCE_BY_CONNECTION.items()
}


def source_from_json(stored: Mapping[str, str]) -> Source:
    """Rebuild a source from the result of its `to_json`. Raises LookupError for a type unknown to this version."""
    return SOURCE_BY_TYPE[stored["type"]].from_json(stored)
