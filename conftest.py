"""Hooks for the project's own tests; the assertions of recipes run without them."""

pytest_plugins = ["tests.suite.plugin"]
