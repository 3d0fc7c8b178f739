"""Tokens of places among the events of all jobs: where reading goes on. They tell nothing of other tenants' events.

Where a look ended may be the place of another tenant's event. Under an API key each token of an end is another one, so
that a reader who asks again and again can't tell by it whether others wrote anything meanwhile.
"""

import secrets

from api.numbers import are_sealed, shown, shown_beside, taken, taken_beside
from api.paging import ListKind, decode_key, encode_key
from db.events import EventPlace
from db.reading import MAX_BIGINT, MAX_INT
from domain.sealing import Numbered

ALL_EVENTS = ListKind("all_events", (MAX_BIGINT, MAX_BIGINT, MAX_INT))
_RANDOM_BITS = 48


def encode_place(place: EventPlace) -> str:
    """Encode an event's place as an opaque text."""
    position = shown_beside(place.job_no, Numbered.EVENT, place.position)
    return encode_key(ALL_EVENTS, (position, shown(Numbered.JOB, place.job_no), place.event_no))


def encode_end(place: EventPlace) -> str:
    """Encode the place where a look ended. If it has a position, reading goes on by that alone."""
    if are_sealed() and place.position:
        return encode_place(EventPlace(place.position, secrets.randbits(_RANDOM_BITS), 0))
    return encode_place(place)


def decode_place(text: str) -> EventPlace | None:
    """Decode a text of `encode_place`; None for any other text."""
    key = decode_key(text, ALL_EVENTS)
    if key is None or (job_no := taken(Numbered.JOB, key[1])) is None:
        return None
    position = taken_beside(job_no, Numbered.EVENT, key[0])
    return None if position is None else EventPlace(position, job_no, key[2])
