"""An overlay that looks busy and asserts nothing."""

import pytest


@pytest.mark.skip(reason="flaky")
def test_the_app_answers() -> None:
    raise AssertionError


def test_the_login_page() -> None:
    pytest.skip("to be written")
