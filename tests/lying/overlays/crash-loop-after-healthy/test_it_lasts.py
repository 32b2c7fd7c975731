"""Looks for longer than the app ever lasts, so that no luck with the time can hide a crash."""

from contextlib import suppress

from harness.api import App, Deadline, WaitTimeoutError, wait_for


def test_it_was_watched_until_a_task_broke(app: App) -> None:
    """It asserts nothing: that a task broke while assertions ran is for the harness to see."""
    known = {task.id for task in app.snapshot().tasks if task.broken}
    with suppress(WaitTimeoutError):
        wait_for(
            lambda: {task.id for task in app.snapshot().tasks if task.broken},
            what="a task that breaks",
            deadline=Deadline.after(60),
            ready=lambda broken: bool(broken - known),
        )
