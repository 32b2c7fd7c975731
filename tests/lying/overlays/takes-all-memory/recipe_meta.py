"""A small limit, so that the test takes little itself."""

LIMITS = {"memory_gib": 0.0625}
