"""The words of a run, as closed sets and frozen records. Seconds are floats, times ISO 8601 UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

NOTHING_ASSERTED = "nothing asserted"  # how the reason of a stage without assertions begins
BROKEN_TEST_CODE = "your test code is broken"  # how the reason begins where a test is at fault
LEFT_OUT = "left out"  # how a line begins that says what the verdict does not rest on


class Stage(StrEnum):
    """The stages of a run, in the order in which they run."""

    INSTALL = "install"
    UPGRADE = "upgrade"
    BACKUP = "backup"
    RESTORE = "restore"
    CUSTOM = "custom"


class Outcome(StrEnum):
    """What a run, a stage, an assertion or a teardown can end in."""

    PASSED = "passed"
    FAILED = "failed"  # the recipe is wrong
    ERROR = "error"  # the test bed is wrong
    REFUSED = "refused"  # the recipe asks for something of the host that is not allowed
    SKIPPED = "skipped"  # left out, with a reason
    ABORTED = "aborted"  # something it needed did not pass, or the run was told to stop


class Origin(StrEnum):
    """Where an assertion comes from."""

    GENERIC = "generic"
    OVERLAY = "overlay"
    REPO_LOCAL = "repo-local"


class WarningCode(StrEnum):
    """What a run can warn about; a recipe's meta accepts a warning by its code, with a reason."""

    # data that no backup or upgrade keeps
    VOLUME_ORPHANED = "volume-orphaned"  # the base mounts a volume that the head does not
    VOLUME_MOVED = "volume-moved"  # the head mounts it at another path
    VOLUME_SHRANK = "volume-shrank"  # files or bytes of a volume collapsed
    VOLUME_NOT_WRITABLE = "volume-not-writable"  # by the user whom the service runs as now
    DATA_IN_LAYER = "data-in-layer"  # files written outside every volume
    ANONYMOUS_VOLUME = "anonymous-volume"
    DATA_ON_TMPFS = "data-on-tmpfs"
    LINK_LEAVES_VOLUME = "link-leaves-volume"
    VOLUME_HIDES_IMAGE = "volume-hides-image"  # it still has files of the base's image
    # how services run
    SERVICE_ENDED = "service-ended"  # with code 0, and nothing shows that it is a job
    OUT_OF_MEMORY = "out-of-memory"  # the kernel killed a process of a container
    PROGRAM_ENDED = "program-ended"  # one of several in a container, which runs on
    KILLED_AT_STOP = "killed-at-stop"  # it did not end within its grace period, and may lose data
    # backup and restore
    BACKUP_LABEL_TWICE = "backup-label-twice"
    BACKUP_LABEL_UNKNOWN = "backup-label-unknown"
    BACKUP_VALUE_UNKNOWN = "backup-value-unknown"
    BACKUP_NOT_ENABLED = "backup-not-enabled"  # backup labels, and none that turns it on
    NO_RESTORE_HOOK = "no-restore-hook"  # a backup hook without one that loads what it dumped
    RESTORE_NOT_SHOWN = "restore-not-shown"  # nothing showed that the restore did anything
    FILES_VANISHED = "files-vanished"  # while a backup read them
    # what is deployed
    OPTION_IGNORED = "option-ignored"  # by `docker stack deploy`
    NOT_REPLACED = "not-replaced"  # by a later compose file: docker joins lists, keeps values
    SHARED_NAME = "shared-name"  # a neighbour's, to which another app on a server may answer
    TEMPLATE_VARIABLE_MISSING = "template-variable-missing"
    ONLY_LABEL_CHANGED = "only-label-changed"
    NO_PAGE = "no-page"  # no page was asked for
    PAGE_REFUSED = "page-refused"  # 401 or 403 without a login, or another request is due
    PAGE_CHANGED = "page-changed"  # it is unlike that of before the op, which may be meant
    PAGE_SHOWS_ERROR = "page-shows-error"  # with a status that says that all is well
    ROUTER_DROPPED = "router-dropped"  # by Traefik: it leads no visitor to the app
    # what was asked for
    BASE_UNUSABLE = "base-unusable"
    CLONE_INCOMPLETE = "clone-incomplete"  # whether there are older releases is not known
    NOT_A_RELEASE = "not-a-release"  # tags that are not releases
    LIGHTWEIGHT_TAG = "lightweight-tag"
    STALE_EXPECTED_SKIP = "stale-expected-skip"
    GENERIC_LEFT_OUT = "generic-left-out"
    STALE_HOST_ACCESS = "stale-host-access"  # a line allows what the recipe does not ask for
    STALE_ACCEPTANCE = "stale-acceptance"  # the meta accepts a warning that did not come


@dataclass(frozen=True, slots=True, kw_only=True)
class RunWarning:
    """Something that a run could not show, or saw and an operator would regret.

    Args:
        code: what it is about.
        text: one sentence that says what was seen, and of which service, volume or label.
        next: what to do about it.
        stage: the stage that saw it, or None for the plan.
        accepted: why the recipe's meta accepts it; empty when it does not.
    """

    code: WarningCode
    text: str
    next: str = ""
    stage: Stage | None = None
    accepted: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotShown:
    """A stage of which a run proves nothing, and why."""

    stage: Stage
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployedImage:
    """The image that a service ran.

    Args:
        service: the service, as the compose file names it.
        release: "base" or "head".
        image: the image's name, as the service had it.
        digest: "sha256:" and its digest: the registry's where that is known, else the engine's id.
    """

    service: str
    release: str
    image: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AssertionResult:
    """One pytest test: where it stands, what it said, what it printed."""

    nodeid: str
    origin: Origin
    outcome: Outcome
    seconds: float
    message: str = ""
    output: str = ""
    at: str = ""  # when it ended
    line: int = 0  # where it begins in its file; 0 when that is not known
    source: str = ""  # its text, as it was run
    kind: str = ""  # of the error that it ended with, as harness.core.errors calls it


@dataclass(frozen=True, slots=True, kw_only=True)
class StageResult:
    """One stage: its op, the wait that belongs to it, and what was asserted afterwards."""

    stage: Stage
    outcome: Outcome
    reason: str = ""
    op_seconds: float = 0.0
    assert_seconds: float = 0.0
    assertions: tuple[AssertionResult, ...] = ()
    facts: Mapping[str, object] = field(default_factory=dict)
    started: str = ""  # empty when nothing of it was done
    wait_seconds: float = 0.0  # of `op_seconds`: until the app had settled and answered
    kind: str = ""  # of the error that ended its op, as harness.core.errors calls it


@dataclass(frozen=True, slots=True, kw_only=True)
class TeardownResult:
    """What was removed after the run, by kind, and what was left behind."""

    outcome: Outcome
    reason: str = ""
    seconds: float = 0.0
    removed: Mapping[str, int] = field(default_factory=dict)
    left: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Adaptation:
    """Something the harness changed about what is deployed, because this machine needs it."""

    kind: str  # "stand-in", "endpoint-mode", "published-port", "secret", "engine-socket", "limits"
    subject: str  # the image, service or secret
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleResult:
    """What came of one rule of `abra recipe lint`. `level` is `warn` or `error`, or empty."""

    rule: str  # R001 and so on
    level: str
    about: str
    outcome: Outcome  # passed, failed, or skipped: not checked
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LintReport:
    """What was found in a recipe's files, before anything was deployed, and by which program."""

    program: str  # "cc-ci", or abra with its version
    gate: bool  # whether a broken rule of level `error` makes the run fail
    rules: tuple[RuleResult, ...] = ()
    notes: tuple[str, ...] = ()  # why a program did not speak
    seconds: float = 0.0

    def broken(self, level: str = "") -> tuple[RuleResult, ...]:
        """Return the rules that do not hold, of that level or of any."""
        return tuple(
            rule
            for rule in self.rules
            if rule.outcome is Outcome.FAILED and level in ("", rule.level)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """A secret of the run in something that it publishes. `known` is why that is meant to be so."""

    secret: str
    encoding: str
    place: str
    count: int
    known: str = ""
