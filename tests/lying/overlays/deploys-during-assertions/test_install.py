"""A test file that does what only an op may do."""

import subprocess

from harness.api import Facts


def test_it_survives_an_update(facts: Facts) -> None:
    """Whatever is asserted after this is asserted about another deployment."""
    service = f"{facts.stack}_app"
    argv = ["docker", "service", "update", "--force", "--detach", service]
    subprocess.run(argv, timeout=60, check=True)  # noqa: S603  as a recipe's tests would
