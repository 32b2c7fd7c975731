"""The embedded default platform: what abra does at deploy, done natively.

Secrets are made to their modifiers, labels are written as abra writes them, and `docker stack
deploy` is given one complete file. The recipe's files are never edited: what this machine forces on
a deployment is laid over them and reported.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import docker

from harness.core import proc
from harness.core.errors import EngineError, InvalidRecipeError, ProcessError, TestBedError
from harness.core.waiting import stretched
from harness.platforms import stackfile
from harness.platforms.admission import admit
from harness.platforms.app_secrets import AppSecrets
from harness.platforms.base import Deployed, Images, Revision, Target
from harness.platforms.deploy_faults import fault_of_machine, fault_of_recipe
from harness.platforms.environment import AppEnvironment, deployed
from harness.platforms.limits import Limits
from harness.platforms.override import build, machine_for
from harness.recipes.compose import Compose
from harness.recipes.policy.allowed import Policy
from harness.swarm.nodes import Nodes

HANDED_DOWN = ("PATH", "DOCKER_CONFIG", "SSH_AUTH_SOCK", "XDG_RUNTIME_DIR")
DEPLOY_SECONDS = 120.0  # for the docker command itself, which waits for nothing


@dataclass(kw_only=True)
class SwarmPlatform:
    """Deploys recipes with `docker stack deploy`.

    Args:
        client: a client of a manager's engine.
        environ: the environment that leads the docker command to that engine.
        target: the names that this run has for itself.
        work: a directory of this run's own, for the stack files.
        dnsrr: whether services need `endpoint_mode: dnsrr` on this machine.
        images: makes sure that an image is there.
        extra_env: what the recipe's meta sets besides `.env.sample`.
        limits: what each container may take.
        deploy_flags: more options for `docker stack deploy`.
        say: is told what is done.
        nodes: where there are other nodes, whose volumes must not be taken either.
        policy: what the recipe may ask of the host.
    """

    client: docker.DockerClient
    environ: Mapping[str, str]
    target: Target
    work: Path
    dnsrr: bool
    images: Images
    extra_env: Mapping[str, str] = field(default_factory=dict)
    limits: Limits | None = None
    deploy_flags: tuple[str, ...] = ()
    say: Callable[[str], None] = field(default=lambda _: None)
    name: str = "swarm"
    nodes: Nodes | None = None
    policy: Policy = field(default_factory=Policy)
    _app: AppEnvironment | None = None
    _deploys: int = 0
    _secrets: AppSecrets = field(init=False)

    def __post_init__(self) -> None:
        """Make what keeps the secrets."""
        self._secrets = AppSecrets(client=self.client, target=self.target)

    def deploy(self, revision: Revision) -> Deployed:
        """Deploy that revision, over whatever this run deployed before.

        Raises:
            InvalidRecipeError: the recipe cannot be deployed.
            RefusedError: it asks for something of the host that is not allowed.
            ImageError: an image can be neither pulled nor built.
            EngineError: the engine did not answer.
        """
        if self._app is None:
            self._app = AppEnvironment.of(revision.files, self.target, self.extra_env)
        else:
            later = AppEnvironment.of(revision.files, self.target, self.extra_env)
            self._app = self._app.with_new_secrets(later)
        compose = self._app.compose(revision.files)
        admit(self.client, compose, self.target, policy=self.policy, nodes=self.nodes)
        _refuse_inherited(compose, self._environment())
        machine, notes = machine_for(
            compose, self.images, dnsrr=self.dnsrr, environ=self.environ, limits=self.limits
        )
        notes += self._secrets.create(compose, self._app.secrets)
        override, adapted = build(compose, self.target, revision, machine)
        self._deploys += 1
        directory = self.work / f"stack-{self._deploys}"
        said = self._stack_deploy(stackfile.write(compose, override, directory))
        return deployed(compose, self.target, (*notes, *adapted), said=said)

    @property
    def secret_values(self) -> tuple[str, ...]:
        """Every secret made for this run, to be masked wherever it may turn up."""
        return self._secrets.values

    @property
    def named_secrets(self) -> Mapping[str, str]:
        """The same by name, as the compose file has it: without the stack and the version."""
        return self._secrets.named

    def start_over(self) -> None:
        """Forget the app's settings and secrets."""
        self._app = None
        self._secrets.start_over()

    def undeploy(self) -> None:
        """Do nothing: what a run leaves is removed by its labels, all of it."""

    def _stack_deploy(self, path: Path) -> str:
        """Deploy, and return what docker printed on standard error.

        Nothing of the recipe is in the command's environment or its working directory.
        """
        argv = ["docker", "stack", "deploy", "-c", str(path)]
        argv += ["--resolve-image", "never", *self.deploy_flags, self.target.stack]
        try:
            done = proc.run(
                argv,
                timeout=stretched(DEPLOY_SECONDS),
                cwd=path.parent,
                env=self._environment(),
                secrets=self.secret_values,
            )
        except ProcessError as error:
            raise _explained(error, self.target) from error
        return done.stderr

    def _environment(self) -> dict[str, str]:
        """Return the whole environment of the docker command; its configuration is by name."""
        kept = {key: os.environ[key] for key in HANDED_DOWN if key in os.environ}
        if "HOME" in os.environ:
            kept.setdefault("DOCKER_CONFIG", str(Path(os.environ["HOME"]) / ".docker"))
        return {**kept, **self.environ}


def _refuse_inherited(compose: Compose, names: Container[str]) -> None:
    """Refuse variables without a value that the docker command would fill in with its own.

    Raises:
        InvalidRecipeError: there is one, so a container would be told something of this machine.
    """
    for service in compose.services.values():
        for name, value in (service.raw.get("environment") or {}).items():
            if value in (None, "") and name in names:
                raise InvalidRecipeError(
                    f"service {service.name} sets the variable {name} without a value",
                    cause="docker would fill in that of this machine",
                    hint=f"give {name} a value, or leave it out",
                )


def _explained(error: ProcessError, target: Target) -> Exception:
    """Return what a failed `docker stack deploy` means: the machine's fault, or the recipe's."""
    said = error.stderr
    known = fault_of_machine(said, target) or _never_ended(error) or fault_of_recipe(said, target)
    if known:
        known.detail = said
        return known
    return InvalidRecipeError(
        f"docker refused to deploy {target.recipe}",
        cause="the compose file asks for something that docker does not know or cannot find",
        hint="the lines below are docker's own; `docker stack config` checks the file by hand",
        detail=said,
    )


def _never_ended(error: ProcessError) -> TestBedError | None:
    if error.code is None or error.code < 0:  # it never ended by itself
        return EngineError(
            error.what,
            cause="the engine is stuck or very slow, or the docker command was killed",
            hint="nox -s engine -- status; free -m; dmesg | tail",
        )
    return None
