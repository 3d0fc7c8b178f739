"""Places that are given up: who holds one knows it, and no other's is taken for it."""

from contextlib import ExitStack

from api.yielding_places import Place, YieldingPlaces


def taken(places: YieldingPlaces, tenant_no: int) -> tuple[ExitStack, Place | None]:
    """Take a place for a tenant; the stack gives it back."""
    stack = ExitStack()
    return stack, stack.enter_context(places.place(tenant_no))


def test_the_oldest_that_is_still_held_gives_way_after_a_newer_one_was_given_back() -> None:
    places = YieldingPlaces(2, of_tenant=2)
    oldest, first = taken(places, 1)
    newer, _ = taken(places, 1)
    newer.close()
    newest, last = taken(places, 1)
    assert first is not None
    assert last is not None

    others, _ = taken(places, 2)

    assert (first.is_given_up, last.is_given_up) == (True, False)
    for each in (oldest, newest, others):
        each.close()


def test_however_places_come_and_go_no_more_are_held_than_there_are() -> None:
    places = YieldingPlaces(3, of_tenant=3)
    held = [taken(places, 1) for _ in range(3)]
    held.pop()[0].close()
    held.append(taken(places, 1))
    for newcomer in (2, 3, 2, 4):
        held.append(taken(places, newcomer))
        for stack, place in [each for each in held if each[1] is None or each[1].is_given_up]:
            stack.close()
            held.remove((stack, place))
        assert len(held) <= 3
    for stack, _ in held:
        stack.close()

    again = [taken(places, 5) for _ in range(4)]
    assert [place is None for _, place in again] == [False, False, False, True]
    for stack, _ in again:
        stack.close()
