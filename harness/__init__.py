"""cc-ci: the test harness that tells whether a change to a Co-op Cloud recipe is safe to merge."""

__version__ = "0.1.0"
