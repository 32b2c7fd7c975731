"""An overlay that needs what is not installed."""

import no_such_module_of_mine  # type: ignore[import-not-found]  # that is the fault


def test_it() -> None:
    assert no_such_module_of_mine.answers()
