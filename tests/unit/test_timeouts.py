"""`--timeout-factor` reaches every time-out: each constant of seconds is stretched at its use.

A time-out is written as a constant `..._SECONDS`. Where it is used, it is an argument of
`stretched`, or it is multiplied by a factor. What is not a time-out, or is multiplied elsewhere,
stands below with the reason.
"""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from harness.backups.put_back import PutBack
from harness.core.waiting import Stretch, stretched

PACKAGE = Path(__file__).resolve().parents[2] / "harness"
IN_IMAGES = PACKAGE / "images" / "stand_ins"  # programs that run in containers
# Of a call, what says how long it may take.
KEYWORDS = frozenset({"timeout", "patience", "seconds"})
EXCEPT: Mapping[str, str] = {
    **dict.fromkeys(
        (
            "platforms/abra/program.py: VERSION_SECONDS", "swarm/configs.py: CALL_SECONDS",
            "engine/ending.py: KILL_SECONDS", "engine/ending.py: STOP_SECONDS",
            "engine/endpoint.py: LOCAL_PROBE_SECONDS", "engine/private.py: START_SECONDS",
            "engine/endpoint.py: REMOTE_PROBE_SECONDS", "engine/layout.py: LOCK_SECONDS",
            "engine/swarm.py: LOCK_SECONDS", "run/reaper.py: SWEEP_SECONDS",
            "run/prepared.py: REAP_SECONDS",
            "fleet/environment.py: INSTALL_SECONDS", "run/testbed.py: ANSWER_SECONDS",
            "engine/endpoint.py: timeout=60.0", "engine/private.py: 5",
            "backups/restic.py: timeout=300.0", "exec/http.py: 5",
        ),
        "stretched in the function that it is given to",
    ),
    **dict.fromkeys(
        (
            "stages/install_steps.py: SECONDS", "stages/known.py: CONTAINER_SECONDS",
            "stages/pages.py: GUESS_SECONDS", "stages/context.py: SETTLE_SECONDS",
            "platforms/abra/platform.py: BACKUP_SECONDS",
            "platforms/abra/platform.py: CALL_SECONDS",
            "platforms/abra/platform.py: DEPLOY_SECONDS", "assertions/app.py: timeout=30.0",
            "assertions/app.py: patience=60.0", "exec/exec.py: patience=60.0",
            "exec/http.py: timeout=10.0", "stages/pages.py: ANSWER_SECONDS",
            "core/settings.py: lock_timeout=900.0", "core/settings.py: run_timeout=3600.0",
            "recipes/completeness.py: QUICK",
        ),
        "multiplied by a factor where it is used",
    ),
    **dict.fromkeys(
        (
            "swarm/readiness.py: OUTLIVE_SECONDS", "swarm/readiness.py: STEADY_SECONDS",
            "swarm/settle.py: STUCK_SECONDS", "fleet/fleet.py: LOOK_SECONDS",
            "fleet/fleet.py: host.YOUNG_SECONDS", "locks/file_lock.py: POLL_SECONDS",
            "locks/file_lock.py: REPEAT_NOTICE_SECONDS", "ci/matrix/sharding.py: UNKNOWN_SECONDS",
            "run/reaper.py: LONGEST_KEEP_SECONDS", "run/reaper.py: swarm_lock.POLL_SECONDS",
            "report/html/logs.py: 2", "locks/swarm_lock.py: LEASE_SECONDS",
            "locks/swarm_lock.py: POLL_SECONDS", "locks/swarm_lock.py: REPEAT_NOTICE_SECONDS",
            "run/teardown.py: KEEP_SECONDS", "images/image_definitions.py: timeout=30",
            "core/proc.py: 0.01", "volumes/outside.py: STARTED_SECONDS",
            "swarm/crashes.py: UNCHECKED_UP_SECONDS", "swarm/deaths.py: AROUND_SECONDS",
            "swarm/events.py: RECONNECT_SECONDS", "swarm/readiness.py: ONE_SHOT_SECONDS",
            "core/waiting.py: QUICK_SECONDS", "swarm/programs.py: JUDGED_SECONDS",
            "swarm/programs.py: STEADY_SECONDS", "volumes/running.py: JUDGED_SECONDS",
        ),
        "no time-out: an interval, an age, or a time that other processes share",
    ),
}  # fmt: skip


def files() -> Iterator[tuple[str, ast.Module]]:
    """Yield every module's name and syntax tree."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if not path.is_relative_to(IN_IMAGES):
            yield path.relative_to(PACKAGE).as_posix(), ast.parse(path.read_text())


def is_stretched(node: ast.AST, parents: Mapping[ast.AST, ast.AST]) -> bool:
    """Whether a value goes through `stretched`, or is multiplied by a factor, before it is used."""
    inner: ast.AST | None = node
    while inner is not None and not isinstance(inner, ast.stmt):
        product = isinstance(inner, ast.BinOp) and isinstance(inner.op, ast.Mult)
        if product and "factor" in ast.unparse(inner):
            return True
        if isinstance(inner, ast.Call) and ast.unparse(inner.func).endswith("stretched"):
            return True
        inner = parents.get(inner)
    return False


def found(name: str, tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield each time-out that is not stretched: its name or value, and its line."""
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    for node in ast.walk(tree):
        for one in (*constants(node, parents), *defaults(node)):
            inner = one[1]
            if not is_stretched(inner, parents):
                yield f"{name}: {one[0]}", getattr(inner, "lineno", 0)


def last_name(node: ast.AST) -> str:
    """Return a name, or what an attribute is called, or nothing."""
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else ""


def constants(node: ast.AST, parents: Mapping[ast.AST, ast.AST]) -> Iterator[tuple[str, ast.AST]]:
    """Yield a use of a constant of seconds, or a number that is given as a time-out."""
    named = last_name(node).endswith("SECONDS") and "NANO" not in ast.unparse(node)
    inner = isinstance(parents.get(node), ast.Attribute)
    if named and not inner and isinstance(getattr(node, "ctx", None), ast.Load):
        yield ast.unparse(node), node
    if not isinstance(node, ast.Call):
        return
    given = [one.value for one in node.keywords if one.arg in KEYWORDS]
    if isinstance(node.func, ast.Attribute) and node.func.attr in ("after", "client", "_connect"):
        given += node.args[:1]
    for value in given:
        for number in ast.walk(value):
            if isinstance(number, ast.Constant) and is_number(number.value):
                yield ast.unparse(number), number
            if isinstance(number, ast.Name) and number.id.isupper() and "SECONDS" not in number.id:
                yield number.id, number


def defaults(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Yield a time-out that is a number by default, of a parameter or of a field."""
    pairs: list[tuple[str, ast.expr | None]] = []
    if isinstance(node, ast.FunctionDef):
        arguments = node.args
        last = arguments.args[len(arguments.args) - len(arguments.defaults) :]
        pairs += [(one.arg, value) for one, value in zip(last, arguments.defaults, strict=True)]
        both = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        pairs += [(one.arg, value) for one, value in both]
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        pairs.append((node.target.id, node.value))
    for name, value in pairs:
        if value is None or not name.endswith(("timeout", "patience", "seconds")):
            continue
        for number in ast.walk(value):
            if isinstance(number, ast.Constant) and is_number(number.value):
                yield f"{name}={ast.unparse(number)}", number


def is_number(value: object) -> bool:
    """Whether a constant is a number of seconds: 0 and 1 are switches and factors as a rule."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value not in (0, 1)


def test_every_time_out_is_stretched() -> None:
    """Or has a reason above; a reason for what is not there any more is wrong, too."""
    unstretched = {key: line for name, tree in files() for key, line in found(name, tree)}
    unknown = {f"{key} (line {line})" for key, line in unstretched.items() if key not in EXCEPT}
    assert not unknown, "\n".join(sorted(unknown))
    assert not (EXCEPT.keys() - unstretched.keys())


def test_the_search_above_finds_what_it_is_for() -> None:
    """A constant that is used as it is, a number, and a default."""
    source = (
        "X_SECONDS = 5.0\n"
        "def f(timeout=X_SECONDS): run(timeout=timeout)\n"
        "run(timeout=X_SECONDS)\n"
        "run(timeout=20)\n"
        "run(timeout=stretched(X_SECONDS))\n"
        "run(timeout=X_SECONDS * self.factor)\n"
        "run(timeout=a.b.X_SECONDS)\n"
        "run(count=20, timeout=0)\n"
        "Deadline.after(60)\n"
        "Deadline.after(TOTAL)\n"
        "def g(*, timeout: float = 30.0): ...\n"
        "class A:\n"
        "    patience: float = 60.0\n"
    )
    lines = [line for _, line in found("m", ast.parse(source))]
    assert sorted(lines) == [2, 3, 4, 7, 9, 10, 11, 13]


def test_a_time_out_is_stretched_only_inside() -> None:
    """The factor is that of the run which set it."""
    assert stretched(10.0) == 10.0
    with Stretch(2.5):
        assert stretched(10.0) == 25.0
        with Stretch(2.0):
            assert stretched(10.0) == 20.0
        assert stretched(10.0) == 25.0
    assert stretched(10.0) == 10.0


def test_a_factor_below_one_does_not_hurry_the_machine() -> None:
    """It shortens the waits for an app; an engine does not answer faster for it."""
    with Stretch(0.1):
        assert stretched(10.0) == 10.0


def test_a_restore_and_its_comparison_are_stretched_once_each() -> None:
    """Their time-out is a field, which no search for constants finds."""
    given: list[float] = []

    def run(_argv: object, *, timeout: float, **_: object) -> SimpleNamespace:
        given.append(timeout)
        return SimpleNamespace(code=0, stdout=b"")

    target: Any = SimpleNamespace(exec=run)
    one = PutBack(target=target, source="/a", live="/b", names=("v",), mark="/m", timeout=300.0)
    for factor in (2.0, 0.1):
        with Stretch(factor):
            one.run()
            one.not_put_back(since=0.0, whole=True)
    assert given == [600.0, 600.0, 300.0, 300.0]
