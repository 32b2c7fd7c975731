"""The verdict of a run: typed facts go in, one word comes out. Nothing in here does anything."""
