"""Keys that a provider may repeat in its answer: they are replaced before anything of the answer is kept."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from domain.secret_forms import REDACTED, TOKEN_CHARACTERS, hide_tokens

OTHERS_CHARACTERS = 8
"""Shorter secrets of other providers and sources aren't looked for: they would be found in ordinary words."""
_LEAST_BEGINNING = 4
"""The least number of a key's first characters that are taken for a key that was cut off."""
_LEVELS = 20
"""How deep pieces of a text lie in an event: `choices`, `delta`, `tool_calls`, `function`, `arguments`."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The configured secrets of a worker; with `hide` and its relatives also texts that have the form of a key.

    Log probabilities have a `token`, so no value is hidden for the name of its member.
    """

    values: tuple[str, ...] = field(default=(), repr=False)
    _spelled: re.Pattern[str] | None = field(default=None, repr=False)
    _shortest: int = TOKEN_CHARACTERS

    @classmethod
    def of(cls, own: str | None, others: Iterable[str] = ()) -> Self:
        """Return the keys that must not be kept of an answer of the provider whose key is `own`."""
        found = {own, *(other for other in others if len(other) >= OTHERS_CHARACTERS)} - {None, ""}
        values = tuple(sorted((value for value in found if value), key=lambda value: (-len(value), value)))
        if not values:
            return cls()
        return cls(values, re.compile("|".join(map(_spelled, values))), min(TOKEN_CHARACTERS, len(values[-1])))

    def hide(self, text: str) -> str:
        """Return the text without keys, also where JSON or a URL spells their characters in another way."""
        if self._spelled is not None and ("\\" in text or "%" in text or any(value in text for value in self.values)):
            text = self._spelled.sub(REDACTED, text)
        return hide_tokens(text)

    def hide_beginning(self, text: str) -> str:
        """Return the beginning of a longer text without keys, and without the beginning of a key at its end."""
        for value in self.values:
            for length in range(len(value) - 1, _LEAST_BEGINNING - 1, -1):
                if text.endswith(value[:length]):
                    return self.hide(text[:-length])
        return self.hide(text)

    def hide_in(self, document: Any) -> Any:
        """Replace keys in the texts and names of a parsed JSON value, in place at any depth; return the value."""
        holder = [document]
        waiting: list[Any] = [holder]
        shortest = self._shortest  # log probabilities have a hundred thousand texts and names, all of them shorter
        while waiting:
            members = waiting.pop()
            for name, member in list(members.items() if type(members) is dict else enumerate(members)):
                if type(member) is str:
                    if len(member) >= shortest:
                        members[name] = self.hide(member)
                elif type(member) is dict or type(member) is list:
                    waiting.append(member)
                if type(name) is str and len(name) >= shortest and (shown := self.hide(name)) != name:
                    members[shown] = members.pop(name)
        return holder[0]

    def are_split_over(self, events: Sequence[Any]) -> bool:
        """Say whether the pieces of a text, in the events of a stream, give a key together."""
        texts: dict[tuple[object, ...], list[str]] = defaultdict(list)
        for event in events:
            for path, text in _texts(event):
                texts[path].append(self.hide(text))
        joined = ("".join(pieces) for pieces in texts.values() if len(pieces) > 1)
        return any(self.hide(text) != text for text in joined)


def _spelled(key: str) -> str:
    """Return the pattern of a key whose characters may be escaped, in JSON by `u0067` and in a URL by `%67`."""
    return "".join(
        rf"(?:\\?{re.escape(character)}|\\u00(?i:{ord(character):02x})|%(?i:{ord(character):02x}))" for character in key
    )


def _texts(value: Any, path: tuple[object, ...] = ()) -> Iterator[tuple[tuple[object, ...], str]]:
    """Yield the texts in an event with their paths; members of a list go by their `index`, if they have one."""
    if len(path) > _LEVELS:
        return
    match value:
        case str():
            yield path, value
        case dict():
            for name, member in value.items():
                yield from _texts(member, (*path, name))
        case list():
            for position, member in enumerate(value):
                place = member.get("index", position) if isinstance(member, dict) else position
                yield from _texts(member, (*path, str(place)))
