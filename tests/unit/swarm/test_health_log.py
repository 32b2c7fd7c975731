"""What a container's failed health checks said, as the engine keeps it."""

from typing import Any

import pytest

from harness.swarm.states import _last_failure

ENDED = "OCI runtime exec failed: exec failed: error executing setns process: exit status 1"
MISSING = 'OCI runtime exec failed: exec failed: exec: "curl": executable file not found in $PATH'


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        (["404", ENDED], "404"),
        (["404", MISSING], MISSING),  # the recipe's own fault
        ([ENDED], ENDED),
        ([], ""),
    ],
)
def test_a_check_under_which_the_container_ended_says_nothing(
    outputs: list[str], expected: str
) -> None:
    """The last check before it does, unless there is no other."""
    checks: list[dict[str, Any]] = [{"ExitCode": 1, "Output": f"{one}\n"} for one in outputs]
    health = {"Log": [*checks[:1], {"ExitCode": 0, "Output": "fine"}, *checks[1:]]}
    assert _last_failure(health) == (f"exit code 1\n{expected}" if expected else "")
