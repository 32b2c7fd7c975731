"""The stages of a run: which are planned, and their seed hooks, ops, waits and assertions."""
