"""YAML as Docker reads it, as measured; tests/integration/test_yaml.py asks the client at hand."""

from pathlib import Path

import pytest

from harness.recipes import yamlfile
from harness.recipes.compose import Compose, load
from harness.recipes.compose_fields import text
from tests.unit.committed import committed


def read(tmp_path: Path, content: str) -> object:
    """Return what a file of that content holds."""
    (tmp_path / "f.yml").write_text(content)
    return yamlfile.load(committed(tmp_path), "f.yml")


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("yes", "yes"), ("True", "true"), ("NULL", ""), ("0777", "511"), ("08", "8"),
        ("0o17", "15"), ("0b11", "3"), ("1_000", "1000"), ("0x1F", "31"), ("0o", "0o"),
        ("1e3", "1000"), ("1000000.0", "1e+06"), ("123456.789e3", "1.23456789e+08"),
        ("0.000001", "1e-06"), ("1.50", "1.5"), ("-0.0", "-0"), ("5.", "5"), (".5", "0.5"),
        ("18446744073709551615", "18446744073709551615"),
        ("18446744073709551616", "1.8446744073709552e+19"),
        ("1.8e+309", "1.8e+309"), ("9" * 400, "9" * 400), ("0x" + "f" * 400, "0x" + "f" * 400),
        ("12:30:45", "12:30:45"), ("_1", "_1"),
        ("2001-12-15", "2001-12-15 00:00:00 +0000 UTC"),
        ("2001-12-15T02:59:43.1Z", "2001-12-15 02:59:43.1 +0000 UTC"),
        ("2001-12-15T02:59:43+02:00", "2001-12-15 02:59:43 +0200 +0200"),
        ("2001-02-30", "2001-02-30"), ("<<", "<<"), ("!x 12", "12"), ("!!str 1", "1"),
    ],
)  # fmt: skip
def test_a_plain_value_becomes_the_text_that_docker_makes_of_it(
    tmp_path: Path, written: str, shown: str
) -> None:
    """A label's value decides what is backed up, and where Traefik leads."""
    found = read(tmp_path, f"a: {written}\n")
    assert isinstance(found, dict)
    assert text(found["a"]) == shown


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a: !reset [1]\nb: !override {c: d}\n", {"a": [1], "b": {"c": "d"}}),
        ("a: !!str [1]\nb: !!set {c: d}\n", {"a": [1], "b": {"c": "d"}}),
        ("a: 1\n---\nb: [\n", {"a": 1}),
        ("\ufeffa: 1\r\n", {"a": 1}),
        ("a: &x 1\nb: &x 2\nc: *x\n", {"a": 1, "b": 2, "c": 2}),
        ("x: &x {a: 1}\ny: &y {a: 2, b: 2}\nz: {<<: [*x, *y], c: 3}\n", None),
        ("%YAML 1.1\n---\na: 1\n...\n", {"a": 1}),
        ("", None),
    ],
)
def test_forms_that_docker_reads_are_read(
    tmp_path: Path, content: str, expected: dict[str, object] | None
) -> None:
    """Tags of lists and mappings say nothing, and of several documents the first one counts."""
    found = read(tmp_path, content)
    if content.startswith("x: "):
        assert isinstance(found, dict)
        assert found["z"] == {"a": 1, "b": 2, "c": 3}
        return
    assert found == expected


def merged(tmp_path: Path, first: str, second: str) -> Compose:
    """Return two files of one service, merged."""
    for name, fields in (("a.yml", first), ("b.yml", second)):
        (tmp_path / name).write_text(f"services: {{app: {{{fields}}}}}\n")
    return load(committed(tmp_path), "a.yml:b.yml", {})


def test_files_merge_as_docker_merges_them(tmp_path: Path) -> None:
    """An empty image replaces none, and a check that is switched off stays so."""
    assert merged(tmp_path, "image: x", "image: ''").images() == ("x",)
    check, off = "image: x, healthcheck: {test: [CMD, y]}", "healthcheck: {disable: true}"
    for pair in ((check, off), (f"image: x, {off}", "healthcheck: {test: [CMD, y]}")):
        service = merged(tmp_path, *pair).services["app"]
        assert (service.healthcheck, service.check) == (False, ())
    later = merged(tmp_path, check, "healthcheck: {interval: 1s}").services["app"]
    assert (later.healthcheck, later.check) == (True, ("CMD", "y"))
    ports = merged(tmp_path, "image: x, ports: [':80', '1:2/TCP']", "hostname: h").services["app"]
    assert [(p.published, p.target, p.protocol) for p in ports.ports] == [
        ("", "80", "tcp"), ("1", "2", "tcp"),
    ]  # fmt: skip
