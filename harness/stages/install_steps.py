"""A recipe's `install_steps.sh`: what an operator does by hand once the app is up.

It is part of the install op, so it may change the app; it runs before anything is asserted.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import docker

from harness.core import proc
from harness.core.errors import ProcessError, ProcessNotStartedError, RecipeError, TestBedError
from harness.platforms.base import Target

SECONDS = 600.0
HANDED_DOWN = ("PATH", "HOME", "LANG", "TZ")
ENGINE = ("DOCKER_HOST", "DOCKER_TLS", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_CONFIG")
SHOWN = 2000  # characters of what a script printed that are kept


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallSteps:
    """The scripts of one recipe, in order.

    Args:
        scripts: the files.
        environ: the environment that leads the docker command to the engine, and a PATH.
        factor: multiplies the time-out.
    """

    scripts: tuple[Path, ...] = ()
    environ: Mapping[str, str]
    factor: float = 1.0

    def run(
        self, target: Target, client: docker.DockerClient, *, secrets: Sequence[str] = (),
        seconds: float = SECONDS,
    ) -> list[dict[str, str]]:  # fmt: skip
        """Run every script, and return what each printed: `script`, `output`.

        A script finds STACK_NAME, DOMAIN and RECIPE in its environment, and the docker command
        leads to the engine of the run. bash runs it with `-e`, `-u` and `pipefail`. Each may take
        `seconds`, which the app may take, and ten minutes at least.

        Raises:
            RecipeError: a script failed: the app could not be set up.
            TestBedError: there is no bash here, or a script did not end in time.
            DockerException: the engine does not answer any more.
        """
        done = []
        for script in self.scripts:
            try:
                ended = proc.run(
                    [_bash(), "-euo", "pipefail", str(script)],
                    timeout=max(SECONDS, seconds) * self.factor,
                    cwd=script.parent,
                    env=self._environment(target),
                    secrets=secrets,
                    check=False,
                    dies_too=True,
                )
            except ProcessError as error:
                client.ping()
                raise _explained(error, script) from error
            said = (ended.stdout + ended.stderr)[-SHOWN:]
            if ended.code != 0:
                client.ping()  # a script that finds no engine fails too, and that is another matter
                raise _failed(ended.code, said, script)
            done.append({"script": script.name, "output": said})
        return done

    def _environment(self, target: Target) -> dict[str, str]:
        kept = {key: value for key, value in self.environ.items() if key in (*HANDED_DOWN, *ENGINE)}
        return {
            **kept, "STACK_NAME": target.stack, "DOMAIN": target.domain, "RECIPE": target.recipe
        }  # fmt: skip


def _bash() -> str:
    found = shutil.which("bash")
    if found is None:
        raise TestBedError(
            "there is no bash on this machine, and the recipe has install steps",
            hint="install bash",
        )
    return found


def _failed(code: int, said: str, script: Path) -> RecipeError:
    return RecipeError(
        f"the install steps failed: {script.name} ended with code {code}",
        cause="the app does not do what an operator expects of it, or the script is wrong",
        hint=f"look at {script}",
        detail=said,
    )


def _explained(error: ProcessError, script: Path) -> TestBedError:
    if isinstance(error, ProcessNotStartedError):
        return TestBedError(error.what, hint=f"look at {script}")
    return TestBedError(
        f"the install steps {script} timed out: {error.what}",
        cause="it waits for something, or the host is slow: CCCI_TIMEOUT_FACTOR=2 allows more",
        detail=error.stderr,
    )
