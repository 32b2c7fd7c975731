"""abra on this machine: found, of a supported version, or one clear message about it."""

from pathlib import Path

import pytest

from harness.__main__ import main
from harness.core.errors import EXIT_ERROR, EXIT_PASSED, EXIT_USAGE, AbraError
from harness.platforms.abra.install import MODULE, REVISION, install
from harness.platforms.abra.program import MARK, RANGE, detect, installed_in
from tests.unit.fake_abra import calls, environ_with, make_abra

HANG = "echo waiting for a server; exec sleep 60"


def test_an_abra_on_path_is_asked_for_its_version_and_nothing_else(tmp_path: Path) -> None:
    """The words are those that every version has."""
    path = make_abra(tmp_path)
    found = detect(environ_with(tmp_path), tmp_path / "cache")
    assert (found.path, str(found)) == (path, "abra 0.10.0-beta-1a2b3c4")
    assert calls(tmp_path) == [["--version"]]


def test_the_one_on_path_comes_before_the_one_in_the_cache(tmp_path: Path) -> None:
    """Whoever has put one there means it."""
    cached = make_abra(installed_in(tmp_path / "cache"))
    assert detect(environ_with(tmp_path), tmp_path / "cache").path == cached
    on_path = make_abra(tmp_path / "bin")
    assert detect(environ_with(tmp_path / "bin"), tmp_path / "cache").path == on_path


def test_no_abra_is_said_with_what_to_do_about_it(tmp_path: Path) -> None:
    """It is the machine that lacks something, so nothing is said of a recipe."""
    with pytest.raises(AbraError, match="there is no abra on this machine") as caught:
        detect(environ_with(tmp_path), tmp_path)
    assert "nox -s abra-install" in caught.value.hint
    assert caught.value.exit_code == EXIT_ERROR


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("echo 'abra version 0.8.1-beta'", "abra 0.8.1-beta is too old"),
        ("echo 'abra version 1.0.0'", "abra 1.0.0 is too new"),
        ("echo 'abra version dev'", "does not say which version it is"),
        ("echo nonsense; exit 3", "ended with code 3"),
        ("echo 'panic: nil map'; echo 'goroutine 1 [running]:'; exit 2", "crashed"),
        ("echo 'fatal error: all goroutines are asleep'; exit 2", "crashed"),
        ("printf 'migrate the directory? '; read answer", "asks a question.*migrate the dir"),
        ("printf 'proceed [y/N]'; read answer", "asks a question.*proceed"),
        (HANG, "did not end in 0.3 s"),
    ],
    ids=["old", "new", "unknown", "code", "panic", "fatal", "question", "choice", "hang"],
)
def test_each_way_to_be_of_no_use_has_one_message(tmp_path: Path, body: str, message: str) -> None:
    """All of them are errors of the machine, and each says the next thing to type."""
    make_abra(tmp_path, body)
    with pytest.raises(AbraError, match=message) as caught:
        detect(environ_with(tmp_path), tmp_path, timeout=0.3)
    assert caught.value.exit_code == EXIT_ERROR
    assert caught.value.cause
    assert caught.value.hint


def test_a_file_that_is_no_program_is_said_to_be_none(tmp_path: Path) -> None:
    """A build for another machine is executable and cannot be started."""
    (tmp_path / "abra").write_bytes(b"\x7fELF not really")
    (tmp_path / "abra").chmod(0o755)
    with pytest.raises(AbraError, match="could not be started"):
        detect(environ_with(tmp_path), tmp_path)


def test_a_call_has_a_directory_of_its_own_a_terminal_and_a_few_variables(tmp_path: Path) -> None:
    """Two calls in one ABRA_DIR change each other's checkouts; a user's secrets are not its own."""
    body = '[ "$1" = --version ] && echo abra version 0.9.0 && exit; [ -t 0 ] && [ -t 1 ] && tty'
    make_abra(tmp_path, body)
    environ = environ_with(
        tmp_path, DOCKER_HOST="unix:///x", TOKEN="hidden", ABRA_DIR="/theirs", LANG="de_DE.UTF-8"  # noqa: S106  no password
    )  # fmt: skip
    abra = detect(environ, tmp_path)
    done = abra.run(
        "recipe", "lint", "made", directory=tmp_path / "own", environ=environ, timeout=5
    )
    assert done.code == 0
    assert done.stdout.startswith("/dev/pts/")
    assert calls(tmp_path)[-1] == ["recipe", "lint", "made"]
    seen = dict(line.partition("=")[::2] for line in (tmp_path / "env").read_text().splitlines())
    assert seen["ABRA_DIR"] == str(tmp_path / "own")
    assert seen["DOCKER_HOST"] == "unix:///x"
    assert "TOKEN" not in seen
    assert (seen["LANG"], seen["LC_ALL"]) == ("C", "C"), "its help and tables are translated"


def test_what_it_says_is_scrubbed(tmp_path: Path) -> None:
    """It prints the secrets that it makes."""
    make_abra(
        tmp_path, "[ $1 = --version ] && echo 0.9.0 && exit; echo made hunter2; exec sleep 60"
    )
    environ = environ_with(tmp_path)
    with pytest.raises(AbraError) as caught:
        detect(environ, tmp_path).run(
            "x", directory=tmp_path, environ=environ, timeout=0.3, secrets=["hunter2"]
        )
    assert "made ****" in caught.value.detail


def test_it_is_installed_by_its_modules_name_at_a_fixed_revision(tmp_path: Path) -> None:
    """Into the cache, once, and a plain build that knows no version is known by what was asked."""
    cache = tmp_path / "cache"
    built = "echo 'abra version dev'"
    body = f'cat > "$GOBIN/abra" <<X\n#!/bin/sh\n{built}\nX\nchmod 755 "$GOBIN/abra"'
    make_abra(tmp_path, body, name="go")
    lines: list[str] = []
    for _ in range(2):
        found = install("", cache=cache, environ=environ_with(tmp_path), say=lines.append)
    assert (found.path, found.version) == (installed_in(cache) / "abra", REVISION)
    assert calls(tmp_path) == [["install", f"{MODULE}@{REVISION}"]]
    assert lines[-1] == f"abra  {REVISION} is in {installed_in(cache)} already"
    install("0.10.0-beta", cache=cache, environ=environ_with(tmp_path), say=lines.append)
    assert calls(tmp_path)[-1] == ["install", f"{MODULE}@0.10.0-beta"]


REPLACING = "The go.mod file for the module contains one or\n\tmore replace directives."


def test_a_module_that_replaces_others_is_built_by_one_that_requires_it(tmp_path: Path) -> None:
    """Go refuses to install such a one by its name; the module that asks for it is thrown away."""
    cache = tmp_path / "cache"
    body = f"""
[ "$1" = install ] && {{ echo '{REPLACING}' >&2; exit 1; }}
[ "$1" = build ] && printf '#!/bin/sh\necho abra version 0.10.0\n' > "$3" && chmod 755 "$3"
pwd > {tmp_path}/place"""
    make_abra(tmp_path, body, name="go")
    found = install("1a2b", cache=cache, environ=environ_with(tmp_path), say=lambda _: None)
    assert found.version == "0.10.0"
    assert calls(tmp_path) == [
        ["install", f"{MODULE}@1a2b"],
        ["mod", "init", "cc-ci.invalid/abra"],
        ["get", f"{MODULE}@1a2b"],
        ["build", "-o", str(found.path), MODULE],
    ]
    assert not Path((tmp_path / "place").read_text().strip()).exists()


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("reading https://proxy.test/@v/x.info: 403 Forbidden", "proxy refuses the module"),
        ("reading https://proxy.test/@v/x.info: 404 Not Found", "proxy refuses the module"),
        ("dial tcp: lookup proxy.test: no such host", "cannot be reached"),
        ("invalid version: unknown revision 7a079b7", "no such revision"),
        ("go.mod requires go >= 1.24 (running go 1.19)", "this Go is too old"),
        ("main.go:1:1: syntax error", "the build failed"),
    ],
)
def test_each_way_not_to_be_built_has_its_cause(tmp_path: Path, said: str, cause: str) -> None:
    """A half-made one must not be found afterwards."""
    make_abra(tmp_path, f"echo '{said}' >&2; exit 1", name="go")
    with pytest.raises(AbraError, match="cannot be built") as caught:
        install("", cache=tmp_path, environ=environ_with(tmp_path), say=lambda _: None)
    assert cause in caught.value.cause
    assert said in caught.value.detail
    assert not (installed_in(tmp_path) / MARK).exists()


def test_a_build_that_fails_does_not_leave_the_last_ones_name_behind(tmp_path: Path) -> None:
    """Else the next call would take the old program for the one that was asked for."""
    mark = installed_in(tmp_path) / MARK
    make_abra(installed_in(tmp_path))
    mark.write_text("older")
    make_abra(tmp_path, "exit 1", name="go")
    with pytest.raises(AbraError, match="cannot be built"):
        install("newer", cache=tmp_path, environ=environ_with(tmp_path), say=lambda _: None)
    assert not mark.exists()


def test_without_go_it_is_said_that_there_is_none(tmp_path: Path) -> None:
    """And nothing is made in the cache."""
    with pytest.raises(AbraError, match="there is no Go on this machine"):
        install("", cache=tmp_path / "c", environ={"PATH": str(tmp_path)}, say=lambda _: None)
    assert not (tmp_path / "c").exists()


def test_the_command_says_which_one_is_there_or_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its exit code is what a CI goes by."""
    make_abra(tmp_path)
    environ = environ_with(tmp_path, CCCI_CACHE=str(tmp_path))
    assert main(["abra", "status"], environ) == EXIT_PASSED
    found = f"abra  0.10.0-beta-1a2b3c4 at {tmp_path}/abra (supported is {RANGE})\n"
    assert capsys.readouterr().out == found
    assert main(["abra", "status", "7a079b7"], environ) == EXIT_USAGE
    (tmp_path / "abra").unlink()
    assert main(["abra"], environ) == EXIT_ERROR
