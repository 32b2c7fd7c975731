"""What goes to the child and what comes back: nothing is lost, and half is never taken for all."""

import json
from dataclasses import fields
from pathlib import Path

import pytest

from harness.assertions.look import Page, Seen, Sign
from harness.assertions.protocol import (
    END,
    Facts,
    Health,
    Order,
    append,
    dump,
    load,
    read_results,
)
from harness.core.model import AssertionResult, Origin, Outcome, Stage
from harness.recipes.doors import Door
from harness.swarm.nodes import Endpoint

ENTRY = {
    "nodeid": "t.py::t[\u20ac]", "origin": "overlay", "outcome": "failed", "seconds": 0.25,
    "message": "two\nlines\u2028 \udc80", "output": "x" * 20_000,
}  # fmt: skip
RESULT = AssertionResult(
    nodeid="t.py::t[\u20ac]", origin=Origin.OVERLAY, outcome=Outcome.FAILED, seconds=0.25,
    message="two\nlines\u2028 \udc80", output="x" * 20_000,
)  # fmt: skip


def order() -> Order:
    """Return an order with something in every field."""
    facts = Facts(
        run="run1", recipe="made", stack="s", domain="d.test", stage=Stage.RESTORE,
        deployed="a" * 40, deployed_version="1.0.0+1", chaos=True, base_commit="b" * 40,
        base_version="0.9.0+1", head_commit="a" * 40, head_version="", head_release="1.0.0+1",
        services=("app", "db"), ledger="/l", deploys=2,
        health=Health(
            service="web", port=8080, path="/x", status=204, marker="it\nis", scheme="https",
            check="/ok", certain=False, answered="install",
            earlier=Page(
                seen=Seen.PAGE, url="http://x/", status=200, title="A", signs=(Sign.FORM,)
            ),
            doors=(Door(service="web", port=8080),),
        ),
        handed_over=("0a1b", "2c3d"),
        seen={"backup": {"snapshot": "0a", "volumes": ["v"]}},
        state={"note": "\u20ac\u2028\n", "number": 1.5, "deep": {"none": None}},
    )  # fmt: skip
    return Order(
        facts=facts, files=(("/t/a.py", Origin.GENERIC), ("/t/b.py", Origin.REPO_LOCAL)),
        root="/t", results="/r", log="/l", engine={"DOCKER_HOST": "unix:///x"}, node_id="n",
        reader="c", readers={"n": "v"}, patience=60.0, timeout_factor=2.0,
        killed=("c1",),
        others=(Endpoint(id="n2", name="worker1", environ={"DOCKER_HOST": "ssh://worker1"}),),
    )  # fmt: skip


def test_an_order_arrives_as_it_was_given() -> None:
    """Words are words again, not texts that look like them."""
    sent = order()
    got = load(dump(sent).decode())
    assert got == sent
    assert isinstance(got, Order)
    assert got.facts.stage is Stage.RESTORE
    assert all(isinstance(origin, Origin) for _, origin in got.files)
    assert isinstance(got.facts.health, Health)
    assert isinstance(got.facts.health.earlier, Page)
    assert got.facts.health.earlier.signs == (Sign.FORM,)
    assert got.facts.handed_over == ("0a1b", "2c3d"), "a tuple again, not a list"
    assert got.readers == {"n": "v"}


def test_the_order_above_has_something_in_every_field() -> None:
    """A field that is left at its default could be lost on the way, and nobody would see."""
    for made in (order(), order().facts, order().facts.health):
        for one in fields(made):
            assert getattr(made, one.name) != one.default, one.name
            assert getattr(made, one.name) or one.name in ("head_version", "certain"), one.name


def test_an_order_is_one_line() -> None:
    """The child reads one line, whatever hooks remembered."""
    assert len(dump(order()).splitlines()) == 1
    assert b"\n" not in dump(order())


def test_results_come_back_in_order(tmp_path: Path) -> None:
    """With whatever an app may have printed in them."""
    path = tmp_path / "r"
    append(path, ENTRY)
    append(path, {**ENTRY, "nodeid": "second"})
    append(path, END)
    results, whole = read_results(path)
    assert results[0] == RESULT
    assert [result.nodeid for result in results] == ["t.py::t[\u20ac]", "second"]
    assert whole


def test_a_child_that_wrote_nothing_was_not_done(tmp_path: Path) -> None:
    """It died before its first test."""
    assert read_results(tmp_path / "none") == ((), False)
    (tmp_path / "empty").write_text("")
    assert read_results(tmp_path / "empty") == ((), False)


def test_without_its_last_line_a_child_was_not_done(tmp_path: Path) -> None:
    """Every test of half the files passed: that is no pass."""
    append(tmp_path / "r", ENTRY)
    assert read_results(tmp_path / "r") == ((RESULT,), False)


@pytest.mark.parametrize("kept", [1, 40, -1])
def test_a_torn_line_is_dropped_and_what_came_before_is_kept(tmp_path: Path, kept: int) -> None:
    """A child that was killed in the middle of a line must not take the report down with it."""
    path = tmp_path / "r"
    append(path, ENTRY)
    with path.open("a") as stream:
        stream.write(json.dumps(ENTRY)[:kept])
    assert read_results(path) == ((RESULT,), False)


def test_a_torn_line_before_the_last_one_is_not_forgotten(tmp_path: Path) -> None:
    """The disk was full for a moment: a result is missing, though the end is there."""
    path = tmp_path / "r"
    path.write_text('{"nodeid": "t\n')
    append(path, END)
    assert read_results(path) == ((), False)


@pytest.mark.parametrize(
    ("wanted", "accepted", "refused"),
    [
        (None, (200, 204, 302, 399), (0, 100, 199, 400, 401, 403, 404, 500, 503)),
        (200, (200,), (201, 302, 401, 500)),
        (500, (500,), (200, 503)),
    ],
)
def test_only_the_right_status_is_a_healthy_answer(
    wanted: int | None, accepted: tuple[int, ...], refused: tuple[int, ...]
) -> None:
    """By default any page, or what leads to one; if the recipe names a status, that one alone."""
    health = Health(status=wanted)
    assert [code for code in (*accepted, *refused) if health.accepts(code)] == list(accepted)
