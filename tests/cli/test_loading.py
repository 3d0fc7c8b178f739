"""While the modules of a command are imported nothing is collected, and collections go on afterwards."""

import gc

import pytest

from cli.loading import loading


def test_nothing_is_collected_while_modules_are_loaded() -> None:
    assert gc.isenabled()
    with loading():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_collections_go_on_after_a_module_that_fails() -> None:
    with pytest.raises(ImportError), loading():
        raise ImportError
    assert gc.isenabled()


def test_loaded_objects_are_frozen_out_of_collections() -> None:
    with loading():
        loaded = [[]]
    assert all(tracked is not loaded for tracked in gc.get_objects())
