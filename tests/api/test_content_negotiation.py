"""An Accept header picks one of the types on offer, or none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.content_negotiation import preferred

JSON, NDJSON, CSV = OFFERED = ("application/json", "application/x-ndjson", "text/csv")
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", JSON),
        ("  ", JSON),
        ("*/*", JSON),
        (BROWSER, JSON),
        ("application/*", JSON),
        ("text/*", CSV),
        ("text/csv", CSV),
        ("TEXT/CSV", CSV),
        (" text/csv ; charset=utf-8 ; header=present", CSV),
        ("application/x-ndjson", NDJSON),
        ("application/json, text/csv", JSON),
        ("text/csv, application/json", JSON),
        ("text/csv, */*", CSV),
        ("text/csv;q=0.5, */*", JSON),
        ("text/csv;q=0.5, application/json;q=0.4", CSV),
        ("text/csv;q=0.9, application/x-ndjson;q=0.91", NDJSON),
        ("text/csv; q=1.000, application/json;q=0.999", CSV),
        ("*/*, application/json;q=0", NDJSON),
        ("application/*;q=0.1, text/csv;q=0, */*;q=0.5", JSON),
        ("application/json;q=0, */*;q=0", None),
        ("text/html", None),
        ("application/xml, text/plain", None),
        ("text/csv;q=0", None),
        ("text/csv;q=2", None),
        ("text/csv;q=x", None),
        ("text/csv;q=", None),
        ("*/csv", None),
        ("csv", None),
        (",", None),
        ("text/csv;q=nan, application/json;q=0.1", JSON),
        (", ,text/csv,,", CSV),
    ],
)
def test_the_best_liked_type_is_chosen(accept: str, expected: str | None) -> None:
    assert preferred(accept, OFFERED) == expected


RANGES = st.sampled_from([*OFFERED, "application/*", "text/*", "*/*", "text/html"])
QUALITIES = st.sampled_from(["0", "0.001", "0.5", "1", "1.0"])


@given(st.lists(st.tuples(RANGES, QUALITIES), min_size=1, max_size=6))
def test_no_other_type_is_liked_more(ranges: list[tuple[str, str]]) -> None:
    accept = ", ".join(f"{pattern};q={quality}" for pattern, quality in ranges)

    def liking(media_type: str) -> float:
        for pattern in (media_type, media_type.partition("/")[0] + "/*", "*/*"):
            if found := [float(quality) for given, quality in ranges if given == pattern]:
                return max(found)
        return 0.0

    chosen = preferred(accept, OFFERED)
    best = max(map(liking, OFFERED))
    assert (0.0 if chosen is None else liking(chosen)) == best
    assert (chosen is None) == (best == 0)


@given(st.text(max_size=60))
def test_any_accept_header_is_read(accept: str) -> None:
    assert preferred(accept, OFFERED) in {*OFFERED, None}
