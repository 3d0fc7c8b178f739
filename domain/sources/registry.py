"""Every source there is, listed once. All that depends on the type of a source looks here; nothing else lists them.

To add one: its module in this folder, with what specs and configurations say; a package in `sources/` that is called
like its type, with `opening.py`; a line here; and its part of docs/reference/sources.md.
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
    """Rebuild a source from what its `to_json` gave. Raises LookupError for a type that this version doesn't know."""
    return SOURCE_BY_TYPE[stored["type"]].from_json(stored)
