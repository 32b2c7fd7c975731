"""The embedded default platform: what abra does at deploy, done natively.

Secrets are made to their modifiers, labels are written as abra writes them, and `docker stack
deploy` renders and deploys. The recipe's files are never edited: what this machine forces on a
deployment is laid over them and reported.
"""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import docker
from docker.errors import APIError, NotFound

from harness import proc
from harness.docker.faults import fault_in
from harness.docker.nodes import Nodes
from harness.docker.snapshot import NAMESPACE_LABEL
from harness.docker.sweep import RUN_LABEL
from harness.errors import (
    EngineError,
    InvalidRecipeError,
    ProcessError,
    TestBedError,
)
from harness.model import Adaptation
from harness.platforms.base import Deployed, Images, Revision, Target
from harness.platforms.environment import (
    ENV_SAMPLE,
    AppEnvironment,
    label,
    traefik_ports,
    version_label,
)
from harness.platforms.override import Machine, build, own_labels
from harness.recipes import secrets
from harness.recipes.compose import LONGEST_NAME, Compose

HANDED_DOWN = ("PATH", "HOME", "DOCKER_CONFIG", "SSH_AUTH_SOCK", "XDG_RUNTIME_DIR")
# Swarm's managers say so when they have no leader, are overloaded or out of step with each other.
RPC_FAULT = re.compile(
    r"rpc error: code = (?!InvalidArgument|NotFound|AlreadyExists)", re.IGNORECASE
)
DEFAULT_TIMEOUT = 300.0  # seconds; abra's own
LONGEST_TIMEOUT = 3600.0  # seconds; a recipe cannot make a run wait for ever
DEPLOY_SECONDS = 120.0  # for the docker command itself, which waits for nothing
# The harness has looked after this network before the deploy.
PROXY_GONE = re.compile(r'network "?proxy"? .*(could not be found|not found)', re.IGNORECASE)
PORT_TAKEN = re.compile(r"port '(\d+)' is already in use by service '([^']+)'", re.IGNORECASE)


@dataclass(kw_only=True)
class SwarmPlatform:
    """Deploys recipes with `docker stack deploy`.

    Args:
        client: a client of a manager's engine.
        environ: the environment that leads the docker command to that engine.
        target: the names that this run has for itself.
        work: a directory of this run's own, for the override file.
        dnsrr: whether services need `endpoint_mode: dnsrr` on this machine.
        images: makes sure that an image is there.
        extra_env: what the recipe's meta sets besides `.env.sample`.
        deploy_flags: more options for `docker stack deploy`.
        say: is told what is done.
        nodes: where there are other nodes, whose volumes must not be taken either.
    """

    client: docker.DockerClient
    environ: Mapping[str, str]
    target: Target
    work: Path
    dnsrr: bool
    images: Images
    extra_env: Mapping[str, str] = field(default_factory=dict)
    deploy_flags: tuple[str, ...] = ()
    say: Callable[[str], None] = field(default=lambda _: None)
    name: str = "swarm"
    nodes: Nodes | None = None
    _app: AppEnvironment | None = None
    _values: dict[str, str] = field(default_factory=dict)

    def deploy(self, revision: Revision) -> Deployed:
        """Deploy that revision, over whatever this run deployed before.

        Raises:
            InvalidRecipeError: the recipe cannot be deployed.
            ImageError: an image can be neither pulled nor built.
            EngineError: the engine did not answer.
        """
        if self._app is None:
            self._app = AppEnvironment.of(revision.directory, self.target, self.extra_env)
        else:
            later = AppEnvironment.of(revision.directory, self.target, self.extra_env)
            self._app = self._app.with_new_secrets(later)
        env = self._app.at(revision.directory)
        compose = self._app.compose(revision.directory)
        stack = self.target.stack
        _refuse(compose, stack)
        _refuse_shared(compose)
        _refuse_taken(self.client, compose, self.target, self.nodes)
        machine, notes = self._machine(compose)
        notes += self._create_secrets(compose, self._app)
        override, adapted = build(compose, self.target, revision, machine)
        path = self.work / f"override.{revision.commit[:8]}.json"
        path.write_text(json.dumps(override, indent=2))
        self._stack_deploy(compose, path, env, revision)
        return Deployed(
            version=version_label(compose, stack),
            services=tuple(compose.services),
            ports=traefik_ports(compose),
            timeout=_timeout(compose, stack),
            adaptations=(*notes, *adapted),
        )

    @property
    def secret_values(self) -> tuple[str, ...]:
        """Every secret made for this run, to be masked wherever it may turn up."""
        return tuple(self._values.values())

    @property
    def named_secrets(self) -> dict[str, str]:
        """The same by name, as the compose file has it: without the stack and the version."""
        prefix = f"{self.target.stack}_"
        return {
            name.removeprefix(prefix).rpartition("_")[0] or name: value
            for name, value in self._values.items()
        }

    def _machine(self, compose: Compose) -> tuple[Machine, list[Adaptation]]:
        replaced: dict[str, str] = {}
        notes: list[Adaptation] = []
        for image in compose.images():
            reference, note = self.images(image)
            if reference != image:
                replaced[image] = reference
            if note is not None:
                notes.append(note)
        return Machine(dnsrr=self.dnsrr, images=replaced), notes

    def _create_secrets(self, compose: Compose, app: AppEnvironment) -> list[Adaptation]:
        """Create the external secrets that the recipe names and that this run has not made yet."""
        stack = self.target.stack
        specs = {spec.full_name(stack): spec for spec in app.secrets}
        notes = []
        for resource in compose.secrets.values():
            name = resource.full_name(stack)
            if not resource.external or name in self._values:
                continue
            if name not in specs:
                raise InvalidRecipeError(
                    f"the secret {name} is external, and {ENV_SAMPLE} does not say how to make it",
                    hint=f"add SECRET_{resource.key.upper()}_VERSION=v1 to {ENV_SAMPLE}",
                )
            self._values[name] = secrets.generate(specs[name])
            labels = {**own_labels(self.target), NAMESPACE_LABEL: stack}
            self._create_secret(name, self._values[name], labels)
            if not specs[name].generate:
                notes.append(
                    Adaptation(
                        kind="secret",
                        subject=name,
                        detail="random, although the recipe says that an operator brings the value",
                    )
                )
        return notes

    def _create_secret(self, name: str, value: str, labels: Mapping[str, str]) -> None:
        try:
            self.client.api.create_secret(name, value.encode(), dict(labels))
        except APIError as error:
            raise EngineError(
                f"the secret {name} could not be created: {error.explanation}"
            ) from error

    def _stack_deploy(
        self, compose: Compose, override: Path, env: Mapping[str, str], revision: Revision
    ) -> None:
        files = [word for file in compose.files for word in ("-c", str(revision.directory / file))]
        argv = ["docker", "stack", "deploy", *files, "-c", str(override)]
        argv += ["--resolve-image", "never", *self.deploy_flags, self.target.stack]
        # A recipe's settings fill in its compose file; they must not steer the docker command.
        kept = {key: os.environ[key] for key in HANDED_DOWN if key in os.environ}
        filled = {
            key: value
            for key, value in env.items()
            if key not in HANDED_DOWN and not key.startswith(("LD_", "DOCKER_"))
        }
        try:
            proc.run(
                argv,
                timeout=DEPLOY_SECONDS,
                cwd=revision.directory,
                env={**filled, **kept, **self.environ},
                secrets=self.secret_values,
            )
        except ProcessError as error:
            raise _explained(error, self.target) from error


def _timeout(compose: Compose, stack: str) -> float:
    try:
        seconds = float(label(compose, f"coop-cloud.{stack}.timeout"))
    except ValueError:
        return DEFAULT_TIMEOUT
    return seconds if 0 < seconds <= LONGEST_TIMEOUT else DEFAULT_TIMEOUT


def _refuse(compose: Compose, stack: str) -> None:
    """Refuse what docker would refuse, or should, before anything is created."""
    too_long = compose.names_too_long(stack)
    if too_long:
        raise InvalidRecipeError(
            f"names of more than {LONGEST_NAME} characters: {', '.join(too_long)}",
            cause="Swarm refuses such names for secrets and configs",
            hint="shorten the names in the compose file",
        )
    bad = compose.bad_files()
    if bad:
        raise InvalidRecipeError(
            f"configs or secrets are made of files that are not in the recipe: {', '.join(bad)}",
            hint="add the files, or correct their paths in the compose file",
        )


def _refuse_shared(compose: Compose) -> None:
    """Refuse volumes that are not the run's own: a restore would write into somebody's data.

    Raises:
        TestBedError: the recipe uses an external volume.
    """
    external = [volume.key for volume in compose.volumes.values() if volume.external]
    if external:
        raise TestBedError(
            f"the recipe uses volumes from outside of it: {', '.join(external)}",
            cause="a test that backs up and restores must not touch data that it did not make",
            hint="test it with a compose file that declares the volumes itself",
        )


def _refuse_taken(
    client: docker.DockerClient, compose: Compose, target: Target, nodes: Nodes | None = None
) -> None:
    """Refuse what would be deployed over something of that name that is not the run's own.

    A fixed `name:` in a compose file leads to whatever is called so already; a restore would empty
    such a volume, and docker would relabel such a config or secret.

    Raises:
        TestBedError: there is something of that name.
    """
    taken = []
    engines = [client, *(engine for _, engine in (nodes.each_other() if nodes else ()))]
    for volume, engine in itertools.product(compose.volumes.values(), engines):
        with suppress(NotFound):
            name = volume.full_name(target.stack)
            labels = engine.api.inspect_volume(name).get("Labels") or {}
            if not volume.external and labels.get(RUN_LABEL) != target.run:
                taken.append(f"volume {name}")
    for kind, found, resources in (
        ("config", client.api.configs, compose.configs),
        ("secret", client.api.secrets, compose.secrets),
    ):
        own = {r.full_name(target.stack) for r in resources.values() if not r.external}
        taken += [
            f"{kind} {spec['Name']}"
            for spec in (one["Spec"] for one in (found() if own else ()))
            if spec["Name"] in own and (spec.get("Labels") or {}).get(RUN_LABEL) != target.run
        ]
    if taken:
        raise TestBedError(
            f"the recipe would be deployed over what is there already: {', '.join(taken)}",
            cause="it gives them a fixed `name:`, and somebody else's have the same",
            hint="put ${STACK_NAME} into the name, or test it on an engine without them",
        )


def _explained(error: ProcessError, target: Target) -> Exception:
    """Return what a failed `docker stack deploy` means: the machine's fault, or the recipe's."""
    said = error.stderr
    if fault := _fault_of_machine(error, target):
        fault.detail = said
        return fault
    if "only updates to Labels are allowed" in said:
        return InvalidRecipeError(
            f"a config or a secret of {target.recipe} changed, and its name did not",
            cause="Swarm never changes a config or a secret in place",
            hint="raise its version, the one in its name: `export ..._VERSION=` in abra.sh",
            detail=said,
        )
    return InvalidRecipeError(
        f"docker refused to deploy {target.recipe}",
        cause="the compose file asks for something that docker does not know or cannot find",
        hint="the lines below are docker's own; `docker stack config` checks the file by hand",
        detail=said,
    )


def _fault_of_machine(error: ProcessError, target: Target) -> TestBedError | None:
    said = error.stderr
    if fault := fault_in(said):
        return fault.error(f"docker could not deploy {target.recipe}")
    if error.code is None or error.code < 0:  # it never ended by itself
        return EngineError(
            error.what,
            cause="the engine is stuck or very slow, or the docker command was killed",
            hint="nox -s engine -- status; free -m; dmesg | tail",
        )
    if RPC_FAULT.search(said):
        return EngineError(
            "the Swarm's managers failed during the deploy",
            cause="they have no leader, are overloaded, or are out of step with each other",
            hint="docker node ls; then run again",
        )
    if PROXY_GONE.search(said):
        return EngineError(
            "the network proxy is gone, which was there before the deploy",
            cause="something on this machine removes networks while a run needs them",
            hint="stop what runs `docker network prune`, and run again",
        )
    taken = PORT_TAKEN.search(said)
    if taken and not taken[2].startswith(f"{target.stack}_"):
        return EngineError(
            f"port {taken[1]} is taken by service {taken[2]} of another stack",
            cause="only one service of a Swarm can publish it, and the recipe may be fine",
            hint=f"docker service rm {taken[2]}, if nobody needs it; or wait for its run to end",
        )
    return None
