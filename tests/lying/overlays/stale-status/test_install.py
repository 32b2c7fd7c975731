"""What this recipe's lie needs."""

from harness.api import App


def test_there_is_the_status_of_an_update(app: App) -> None:
    """It is what a careless look after the next redeploy would read."""
    assert app.service().update_state == "completed"
