"""The platform `abra`: Co-op Cloud's own program deploys, in a directory of the run's own.

The recipe is a clone that abra checks out itself; what this machine forces on a deployment, and the
run's labels, are one more file in the app's `COMPOSE_FILE`, outside of the recipe, so that its tree
stays clean and the labels that abra writes are abra's. See docs/abra.md for what is told of the
program and what was verified.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import docker

from harness.core.errors import AbraError, HarnessError, InvalidRecipeError, RefusedError
from harness.core.model import Adaptation
from harness.platforms import stackfile
from harness.platforms.abra.program import Abra
from harness.platforms.admission import admit
from harness.platforms.app_secrets import AppSecrets
from harness.platforms.base import Deployed, Images, Revision, Target
from harness.platforms.deploy_faults import fault_of_machine, fault_of_recipe
from harness.platforms.environment import ENV_SAMPLE, AppEnvironment, deployed
from harness.platforms.limits import Limits
from harness.platforms.override import (
    app_labels,
    build,
    machine_for,
    own_labels,
    own_networks,
)
from harness.recipes import envfile
from harness.recipes.cloning import CLONE_SECONDS, clone
from harness.recipes.compose import Compose
from harness.recipes.policy.allowed import Policy
from harness.recipes.policy.deployed import asks_of_services
from harness.recipes.repo import Repo
from harness.swarm.nodes import Nodes
from harness.swarm.states import NAMESPACE_LABEL

SERVER = "default"  # abra's name for the engine that the environment leads to
OVERRIDE = "cc-ci.yml"
CALL_SECONDS = 120.0
BACKUP_SECONDS = 1800.0
DEPLOY_SECONDS = 600.0  # it may pull images; whether the app has settled is looked at by ourselves
QUIET = ("--no-input", "--offline")
CHAOS = ("--chaos",)  # or abra would check the newest release out first
UNWATCHED = ("--no-domain-checks", "--no-converge-checks")
LIGHTWEIGHT = re.compile(r"\bR014\b|lightweight tag|annotated tag", re.IGNORECASE)
NO_SERVER = re.compile(
    r"server .*(not|doesn.t) (exist|found)|unknown server|no such server", re.IGNORECASE
)
NOT_KNOWN = re.compile(r"catalogue|(recipe|app) .*(not|doesn.t) (exist|found)", re.IGNORECASE)
EXISTS = re.compile(r"already (exists|deployed)", re.IGNORECASE)


@dataclass(kw_only=True)
class AbraPlatform:
    """Deploys recipes with abra.

    Args:
        abra: the program.
        client: a client of the engine that abra is led to.
        environ: the environment that leads abra to that engine.
        target: the names that this run has for itself.
        work: a directory of this run's own; abra's whole state lies in `abra` below it.
        log: the file that abra's calls and its answers are appended to, without the secrets.
        dnsrr: whether services need `endpoint_mode: dnsrr` on this machine.
        images: makes sure that an image is there.
        extra_env: what the recipe's meta sets besides `.env.sample`.
        limits: what each container may take.
        nodes: where there are other nodes, whose volumes must not be taken either.
        policy: what the recipe may ask of the host.
        factor: multiplies the time-outs.
    """

    abra: Abra
    client: docker.DockerClient
    environ: Mapping[str, str]
    target: Target
    work: Path
    log: Path
    dnsrr: bool
    images: Images
    extra_env: Mapping[str, str] = field(default_factory=dict)
    limits: Limits | None = None
    nodes: Nodes | None = None
    policy: Policy = field(default_factory=Policy)
    factor: float = 1.0
    name: str = "abra"
    _recipe: Repo | None = None
    _app: AppEnvironment | None = None
    _secrets: AppSecrets = field(init=False)

    def __post_init__(self) -> None:
        """Make what keeps the secrets."""
        self._secrets = AppSecrets(client=self.client, target=self.target)

    @property
    def directory(self) -> Path:
        """The `ABRA_DIR` of this run: two runs in one would change each other's checkouts."""
        return self.work / "abra"

    @property
    def settings(self) -> Path:
        """The file with the app's settings, which `abra app new` makes."""
        return self.directory / "servers" / SERVER / f"{self.target.domain}.env"

    @property
    def secret_values(self) -> tuple[str, ...]:
        """Every secret made for this run, to be masked wherever it may turn up."""
        return self._secrets.values

    @property
    def named_secrets(self) -> Mapping[str, str]:
        """The same by name, as the compose file has it: without the stack and the version."""
        return self._secrets.named

    def deploy(self, revision: Revision) -> Deployed:
        """Deploy that revision, over whatever this run deployed before.

        Raises:
            InvalidRecipeError: the recipe cannot be deployed, or abra refuses it.
            RefusedError: it asks for something of the host that is not allowed.
            ImageError: an image can be neither pulled nor built.
            AbraError: abra does not do what is known of it.
            EngineError: the engine did not answer.
        """
        self._check_out(revision)
        sample = AppEnvironment.of(revision.files, self.target, self.extra_env)
        if self._app is None:
            self._new(revision)
            app = self._as_abra_made_it(sample)
        else:
            app = self._app.with_new_secrets(sample)
        compose = app.compose(revision.files)
        admit(self.client, compose, self.target, policy=self.policy, nodes=self.nodes)
        machine, notes = machine_for(
            compose, self.images, dnsrr=self.dnsrr, environ=self.environ, limits=self.limits
        )
        notes += [*self._renamed(app), *self._secrets.create(compose, app.secrets)]
        override, adapted = build(compose, self.target, None, machine)
        (self.directory / OVERRIDE).write_text(stackfile.written(override))
        self._write_settings(app, compose)
        self._app = app
        self._deploy(revision)
        self._require_as_read(compose, override)
        return deployed(compose, self.target, (*notes, *adapted))

    def _require_as_read(self, compose: Compose, override: Mapping[str, Any]) -> None:
        """Compare what abra deployed with what was decided on: it reads the recipe by itself.

        Raises:
            RefusedError: it asks for more of the host than is allowed, or lacks the run's labels.
        """
        stack = self.target.stack
        services = self._services()
        found = asks_of_services(
            services, compose, stack, self.target.domain,
            networks={one["Id"]: one["Name"] for one in self.client.api.networks()},
            laid_over=frozenset(
                mount["source"]
                for service in override["services"].values()
                for mount in service.get("volumes", ())
            )
            | {*own_networks(compose, stack).values()},
        )  # fmt: skip
        self.policy.require(found, by="abra deployed it otherwise than the harness reads it")
        own = own_labels(self.target).items()
        strange = [
            raw["Spec"]["Name"] for raw in services if not own <= raw["Spec"]["Labels"].items()
        ]
        if strange:
            raise RefusedError(
                f"abra deployed what the recipe does not have to the harness: {', '.join(strange)}",
                hint="--platform swarm reads the recipe once",
            )

    def undeploy(self) -> None:
        """Have abra take the app down and forget it, as an operator does.

        Raises:
            AbraError: it crashed, asked a question, or hung.
        """
        if self._app is not None:
            self._call("app", "undeploy", *QUIET, self.target.domain, seconds=CALL_SECONDS)
            self._call("app", "remove", *QUIET, "--force", self.target.domain, seconds=CALL_SECONDS)

    def start_over(self) -> None:
        """Have abra take the app down and forget it, and forget its secrets.

        Raises:
            AbraError: as `undeploy`.
        """
        self.undeploy()
        self._app = None
        self._secrets.start_over()

    def backup_create(self) -> tuple[int, str]:
        """Have abra call the server's backup bot for this app; return its code and what it said.

        Raises:
            AbraError: it crashed, asked a question, or hung.
        """
        act = ("app", "backup", "create")
        more = CHAOS if CHAOS[0] in self._help(*act) else ()
        return self._call(*act, *QUIET, *more, self.target.domain, seconds=BACKUP_SECONDS)

    def restore(self, snapshot: str) -> tuple[int, str]:
        """Have abra call the backup bot to restore that snapshot; return its code and its words.

        Raises:
            AbraError: this version restores only the newest one; or it crashed, asked, or hung.
        """
        act = ("app", "restore")
        known = self._help(*act)
        if "--snapshot" not in known:
            raise AbraError(
                f"{self.abra} cannot be told which snapshot to restore",
                cause="its `app restore` has no option --snapshot",
                hint="--backup-driver restic restores by itself; or use another version of abra",
                detail=known,
            )
        words = (*QUIET, *(CHAOS if CHAOS[0] in known else ()), "--snapshot", snapshot)
        return self._call(*act, *words, self.target.domain, seconds=BACKUP_SECONDS)

    def _help(self, *act: str) -> str:
        """Return what abra says of one of its commands."""
        said = self.abra.run(
            *act, "--help", directory=self.directory, environ=self.environ,
            timeout=CALL_SECONDS * self.factor,
        )  # fmt: skip
        return said.stdout

    def _check_out(self, revision: Revision) -> None:
        """Bring abra's own clone of the recipe to that commit, with a clean tree."""
        if self._recipe is None:
            path = self.directory / "recipes" / self.target.recipe
            path.parent.mkdir(parents=True)
            self.settings.parent.mkdir(parents=True)
            # Without a catalogue abra fetches one from the network; ours knows no recipe.
            (self.directory / "catalogue").mkdir()
            (self.directory / "catalogue" / "recipes.json").write_text("{}\n")
            self._recipe = clone(str(revision.source), path, timeout=CLONE_SECONDS * self.factor)
        self._recipe.checkout(self._recipe.resolve(revision.commit))

    def _new(self, revision: Revision) -> None:
        """Make the app.

        Raises:
            AbraError: abra made no settings for it.
        """
        which = ("--chaos",) if revision.chaos else ()
        words = ["app", "new", *QUIET, "--server", SERVER, "--domain", self.target.domain, *which]
        words += [self.target.recipe] if revision.chaos else [self.target.recipe, revision.tag]
        code, said = self._call(*words, seconds=CALL_SECONDS)
        if code != 0 or not self.settings.is_file():
            raise _refused("make the app", said, self.target) or AbraError(
                f"abra made no app of {self.target.recipe} (exit code {code})",
                cause="this version takes other words, or keeps its settings elsewhere",
                hint="the lines below are its own; docs/abra.md says what is known of it",
                detail=said,
            )

    def _renamed(self, app: AppEnvironment) -> list[Adaptation]:
        """Say that abra finds the recipe under another name than the one it calls itself by."""
        own, recipe = app.values.get("TYPE", "").partition(":")[0], self.target.recipe
        detail = f"called {recipe} here, though its {ENV_SAMPLE} says TYPE={own}"
        return [Adaptation(kind="type", subject=recipe, detail=detail)] if own != recipe else []

    def _as_abra_made_it(self, sample: AppEnvironment) -> AppEnvironment:
        """Return the settings as they stand in abra's own file, with what is ours."""
        given = {"DOMAIN": self.target.domain, "STACK_NAME": self.target.stack}
        values = _settings(self.settings, given)
        return replace(sample, values={**values, **given, **self.extra_env})

    def _write_settings(self, app: AppEnvironment, compose: Compose) -> None:
        """Add to the app's settings what an operator would: the last word on a name counts."""
        files = ":".join([*compose.files, f"../../{OVERRIDE}"])
        there = _settings(self.settings, {})
        versions = {f"SECRET_{spec.name.upper()}_VERSION": spec.version for spec in app.secrets}
        versions = {key: value for key, value in versions.items() if key not in there}
        more = {**self.extra_env, **versions, "TYPE": self.target.recipe, "COMPOSE_FILE": files}
        with self.settings.open("a") as stream:
            stream.write("\n" + "".join(f"{key}={_quoted(more[key])}\n" for key in more))

    def _deploy(self, revision: Revision) -> None:
        """Call `abra app deploy`: pinned to the release, or as chaos what is checked out.

        Its exit code alone decides nothing: it is not zero, too, when the app is up but slow.

        Raises:
            HarnessError: the revision was not deployed, by the labels that abra writes.
        """
        words = ["app", "deploy", *QUIET, *UNWATCHED]
        words += ["--chaos", self.target.domain] if revision.chaos else []
        words += [] if revision.chaos else [self.target.domain, revision.tag]
        code, said = self._call(*words, seconds=DEPLOY_SECONDS)
        if code == 0 or self._is_deployed(revision):
            return
        raise _refused("deploy", said, self.target) or InvalidRecipeError(
            f"abra refused to deploy {self.target.recipe} (exit code {code})",
            cause="the recipe has something that abra does not accept",
            hint="the lines below are abra's own; its calls are in logs/abra.calls.log of the run",
            detail=said,
        )

    def _is_deployed(self, revision: Revision) -> bool:
        """Whether every service has the labels that abra writes at a deploy of that revision."""
        wanted, services = app_labels(self.target, revision).items(), self._services()
        return bool(services) and all(wanted <= raw["Spec"]["Labels"].items() for raw in services)

    def _services(self) -> list[dict[str, Any]]:
        ours = {"label": f"{NAMESPACE_LABEL}={self.target.stack}"}
        return list(self.client.api.services(filters=ours))  # type: ignore[no-untyped-call]  # stubs lack it

    def _call(self, *words: str, seconds: float) -> tuple[int, str]:
        """Call abra; return its exit code and what it said, which is in the log, too."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")  # as the services' logs have it
        shown = f"{now} $ abra {' '.join(words)}\n"
        try:
            done = self.abra.run(
                *words,
                directory=self.directory,
                environ=self.environ,
                timeout=seconds * self.factor,
                secrets=self.secret_values,
            )
        except AbraError as error:
            self._write(f"{shown}{error.detail}\n! {error.what}\n")
            raise
        self._write(f"{shown}{done.stdout}\n= {done.code}\n")
        return done.code, done.stdout

    def _write(self, text: str) -> None:
        with suppress(OSError), self.log.open("a") as stream:  # a full disk fails no deploy here
            stream.write(text)


def _settings(path: Path, given: Mapping[str, str]) -> dict[str, str]:
    return envfile.as_dict(envfile.parse(path.read_text(), name=path.name, base=given))


def _quoted(value: str) -> str:
    """Return a value for an env file, where nothing in it is filled in."""
    if "'" not in value:
        return f"'{value}'"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    return f'"{escaped}"'


def _refused(act: str, said: str, target: Target) -> HarnessError | None:
    """Return what abra's refusal means, as far as its words are known."""
    if known := fault_of_machine(said, target) or fault_of_recipe(said, target):
        known.detail = said
        return known
    if LIGHTWEIGHT.search(said):
        return InvalidRecipeError(
            f"abra refuses to {act} a release of {target.recipe} with a lightweight tag",
            cause="a release is an annotated tag to abra (R014), so no operator could deploy this",
            hint="git tag -a -f TAG TAG^{} and push it; or test with --platform swarm",
            detail=said,
        )
    if NO_SERVER.search(said):
        return AbraError(
            f"abra does not know the server {SERVER}, which was made for this run",
            cause="this version keeps its servers elsewhere",
            hint="docs/abra.md says what is known of it; --platform swarm needs no abra",
            detail=said,
        )
    if EXISTS.search(said):
        return AbraError(
            f"abra says that there is an app at {target.domain} already; it was not touched",
            cause="somebody deployed it while this run began",
            hint="leave --domain out for a random one",
            detail=said,
        )
    if NOT_KNOWN.search(said):
        return AbraError(
            f"abra does not know the recipe {target.recipe}, although its clone is in place",
            cause="this version takes recipes from its catalogue alone",
            hint="docs/abra.md says what is known of it; --platform swarm needs no catalogue",
            detail=said,
        )
    return None
