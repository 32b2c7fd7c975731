"""A small limit, so that the test takes little itself."""

LIMITS = {"pids": 60}
