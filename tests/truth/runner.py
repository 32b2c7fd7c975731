"""Running the lying recipes, and judging whether the harness saw through each of them.

A case is right when the word, the stage, the exit code and the *reason* are right, and when nothing
of the run is left in the engine. A right word for a wrong reason counts as wrong.
"""

import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker

from harness.core.errors import ProcessError
from harness.core.model import Stage
from harness.core.settings import SKIP_GENERIC
from harness.images import samples
from harness.recipes import approval
from harness.swarm.sweep import RUN_LABEL, find
from tests.integration.support import Call, run_harness
from tests.truth.cases import OVERLAYS, Case, Expected

CANARIES = "TRUTH_CANARIES"  # a directory: code of a recipe that is run leaves a file there
# Or here, with the stack's name at its end, where it is run without that variable.
ELSEWHERE = Path("/tmp")  # noqa: S108  such code knows no other place
MADE = "/made/"  # in the list of approvals: the folder that the repository lies in
# What a user may have set that would make another run of it.
NEUTRAL = dict.fromkeys(
    (
        *(SKIP_GENERIC, *(f"{SKIP_GENERIC}_{stage.upper()}" for stage in Stage)),
        *("CCCI_DOMAIN", "CCCI_KEEP", "CCCI_OVERLAYS", "CCCI_OUTPUT"),
    ),
    "",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Came:
    """What came of one run: its results.json, and what is not in there.

    Attributes:
        exit_code: the code that the process ended with.
        results: what results.json holds; nothing when there is none.
        text: what was printed.
        left: what there still is of the run in the engine.
        canaries: the names of the files that the recipe's own code left behind.
        directory: the run's directory, or None.
    """

    exit_code: int
    results: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""
    left: tuple[str, ...] = ()
    canaries: tuple[str, ...] = ()
    directory: Path | None = None

    @property
    def word(self) -> str:
        """The run's word, or empty when it wrote no results."""
        return str(self._verdict.get("outcome", ""))

    @property
    def stage(self) -> str:
        """Where it was decided."""
        return str(self._verdict.get("stage", ""))

    @property
    def cause(self) -> str:
        """Why; without results, the last thing that was printed."""
        return str(self._verdict.get("cause", self.text[-2000:].strip()))

    @property
    def stages(self) -> Mapping[str, str]:
        """Each stage's word."""
        return {one["stage"]: one["outcome"] for one in self.results.get("stages", ())}

    @property
    def seconds(self) -> float:
        """How long the run took."""
        return float(self.results.get("seconds", 0.0))

    @property
    def _verdict(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.results.get("verdict", {})
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One case, what came of it, and what of that is wrong: nothing, if the harness told true."""

    case: Case
    came: Came
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether the harness told the truth about it."""
        return not self.problems


def judge(case: Case, came: Came) -> tuple[str, ...]:
    """Return everything that is not as it has to be."""
    problems = []
    for name, wanted, was in (
        ("word", str(case.word), came.word),
        ("exit code", case.exit_code, came.exit_code),
        ("stage", case.stage or came.stage, came.stage),
        ("left behind by the recipe's code", sorted(case.canaries), sorted(came.canaries)),
        ("left in the engine", [], list(came.left)),
    ):
        if was != wanted:
            problems.append(f"{name}: {_shown(was)} instead of {_shown(wanted)}")
    for stage, word in case.stages.items():
        if came.stages.get(stage) != word:
            problems.append(f"{stage}: {came.stages.get(stage, 'not run')} instead of {word}")
    if not _reason_fits(case.reason, came.cause):
        wanted = f"what matches {case.reason}" if case.reason else "nothing"
        problems.append(f"reason: {_shown(came.cause.splitlines())} instead of {wanted}")
    problems += [
        f"no assertion of {wanted.stage} is {wanted}"
        for wanted in case.assertions
        if not any(_is(wanted, one) for one in _assertions(came.results, wanted.stage))
    ]
    problems += _of_warnings(case, came)
    if "Traceback (most recent call last)" in came.text:
        problems.append("the harness showed a traceback")
    return tuple(problems)


def _of_warnings(case: Case, came: Came) -> list[str]:
    """Return which warnings are missing, and for a recipe that must have none, those it has."""
    codes = {one["code"] for one in came.results.get("warnings", ())}
    if case.warnings == () and codes:
        return [f"warnings: {', '.join(sorted(codes))} instead of nothing"]
    return [f"no warning {code}" for code in case.warnings or () if code not in codes]


def _shown(value: object) -> str:
    return "nothing" if value in ("", []) else str(value)


def _reason_fits(reason: str, cause: str) -> bool:
    return bool(re.search(reason, cause, re.DOTALL)) if reason else not cause


def _assertions(results: Mapping[str, Any], stage: Stage) -> Sequence[Mapping[str, Any]]:
    found = (one for one in results.get("stages", ()) if one["stage"] == stage)
    return [assertion for one in found for assertion in one["assertions"]]


def _is(wanted: Expected, came: Mapping[str, Any]) -> bool:
    return (
        (came["origin"], came["outcome"]) == (wanted.origin, wanted.outcome)
        and bool(re.search(wanted.nodeid, came["nodeid"]))
        and bool(re.search(wanted.message, came["message"], re.DOTALL))
    )


def run(
    case: Case,
    *,
    client: docker.DockerClient,
    output: Path,
    environ: Mapping[str, str] | None = None,
    options: Sequence[str] = (),
) -> Row:
    """Make the recipe, call the harness with it as a user does, and judge what came of it.

    Args:
        case: the recipe.
        client: a client of the engine that the run uses.
        output: a directory of this case's own; its repository and its run lie there.
        environ: variables that are set besides the case's own.
        options: options besides the case's own.
    """
    canaries = output / "canaries"
    canaries.mkdir(parents=True)
    source = output / f"{case.name}.git"  # the recipe's name is made of it
    samples.build(case.folder, source)
    overlays = _copy_overlays(case, output)
    try:
        call = run_harness(
            output / "runs",
            *(str(source), "--overlays", str(overlays), *case.options, *options),
            **{**NEUTRAL, CANARIES: str(canaries), **case.environ, **(environ or {})},
        )
    except ProcessError as error:  # it did not end in time: that is no verdict, and goes on record
        call = Call(code=-1, text=str(error), results={}, directory=None)
    label = f"{RUN_LABEL}={call.results['run']}" if call.results else ""
    came = Came(
        exit_code=call.code,
        results=call.results,
        text=call.text,
        left=tuple(str(item) for item in find(client, label)) if label else (),
        canaries=(*_names(canaries), *_collect_elsewhere(call.results.get("stack", ""))),
        directory=call.directory,
    )
    return Row(case=case, came=came, problems=judge(case, came))


def _copy_overlays(case: Case, output: Path) -> Path:
    """Copy the case's overlay and the approvals, which have to name where the repository lies."""
    copy = output / "overlays"
    copy.mkdir()
    if (OVERLAYS / case.name).is_dir():
        shutil.copytree(OVERLAYS / case.name, copy / case.name)
    approvals = (OVERLAYS / approval.FILE).read_text(encoding="utf-8")
    (copy / approval.FILE).write_text(approvals.replace(MADE, f"{output.resolve()}/"))
    return copy


def _names(directory: Path) -> tuple[str, ...]:
    return tuple(path.name for path in directory.iterdir())


def _collect_elsewhere(stack: str) -> tuple[str, ...]:
    """Return the canaries that bear the stack's name, and take them away."""
    found = tuple(ELSEWHERE.glob(f"*.{stack}")) if stack else ()
    for path in found:
        path.unlink()
    return tuple(path.name.removesuffix(f".{stack}") for path in found)


def run_all(
    cases: Sequence[Case],
    *,
    client: docker.DockerClient,
    output: Path,
    jobs: int,
    finished: Callable[[Row], None],
    environ: Mapping[str, str] | None = None,
) -> tuple[Row, ...]:
    """Run the cases, some at a time, and return their rows in the order of the cases.

    Args:
        cases: what to run.
        client: a client of the engine.
        output: a directory; each case gets one below it.
        jobs: how many at a time.
        finished: is told of each row as it comes.
        environ: variables that are set besides the cases' own.
    """

    def one(case: Case) -> Row:
        row = run(case, client=client, output=output / case.name, environ=environ)
        finished(row)
        return row

    with ThreadPoolExecutor(max_workers=jobs) as pool:
        try:
            return tuple(pool.map(one, cases))
        except BaseException:
            pool.shutdown(cancel_futures=True)  # those that run end by themselves, and clean up
            raise
