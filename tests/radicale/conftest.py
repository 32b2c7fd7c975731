"""What radicale's assertions share."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.api import App, Response

Ask = Callable[..., Response]


@pytest.fixture(name="ask")
def ask_fixture(app: App) -> Ask:
    """Sends a request as the admin: `ask(method, path)`."""
    spec = importlib.util.spec_from_file_location("radicale_ops", Path(__file__).parent / "ops.py")
    assert spec is not None
    assert spec.loader is not None
    ops = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(ops)
    return lambda method, path: ops.ask(app, method, path)
