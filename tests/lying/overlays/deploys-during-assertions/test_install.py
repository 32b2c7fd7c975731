"""A test file that does what only an op may do."""

from harness.assertions.protocol import Facts
from harness.core import proc


def test_it_survives_an_update(facts: Facts) -> None:
    """Whatever is asserted after this is asserted about another deployment."""
    service = f"{facts.stack}_app"
    proc.run(["docker", "service", "update", "--force", "--detach", service], timeout=60)
