"""The stages of a run: which are planned, their seed hooks, ops and waits, and what is handed to the assertions."""
