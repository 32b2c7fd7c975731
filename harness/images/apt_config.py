"""What a build needs of the host's apt to reach the same mirrors by the same way.

Sources, proxies, certificates, passwords and preferences are the machine's own: they are read when
an image is built, handed to the builder, and stay out of the image and of this project.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path

from harness.core import proc
from harness.core.errors import ImageError
from harness.core.waiting import stretched

NO_USRMERGE = "no-usrmerge.pref"
_SECONDS = 30.0
# How packages are fetched. The rest of the host's configuration is about its own package state.
_HANDED_OVER = re.compile(
    r"Acquire::(http|https|ftp|socks|Retries|Check-Valid-Until|Check-Date|Max-FutureTime"
    r"|ForceIPv[46]|AllowInsecureRepositories|AllowWeakRepositories)\b"
)
_OPTIONS = re.compile(r"\[[^\]]*\]")


def hand_over(
    work: Path, suite: str, *, environment: Mapping[str, str]
) -> tuple[list[str], list[str]]:
    """Write what the builder needs into `work`; return its mirror arguments and its hooks.

    Both are relative to `work`, so that no odd character of its own name matters.

    Raises:
        ImageError: the host's apt has no package source.
        ProcessError: apt-config cannot be run.
    """
    places = _places(environment)
    texts = {path: path.read_text(errors="replace") for path in _source_files(places)}
    mirrors = []
    for index, (path, text) in enumerate(for_suite(texts, suite).items()):
        name = f"{index:03d}{path.suffix}"
        _write_private(work / name, text)
        mirrors.append(f"./{name}")
    if not mirrors:
        raise ImageError(
            "the apt of this machine has no package source, so that no image can be built",
            cause="neither sources.list nor sources.list.d names one",
            hint="configure apt's sources (sources.list(5)), or give the engine a registry",
        )
    return mirrors, _hooks(work, places, environment)


def _hooks(work: Path, places: Mapping[str, Path], environment: Mapping[str, str]) -> list[str]:
    dump = proc.run(["apt-config", "dump"], timeout=stretched(_SECONDS), env=environment).stdout
    chosen = [line for line in dump.splitlines() if _HANDED_OVER.match(line)]
    _write_private(work / "apt.conf", "\n".join([*chosen, ""]))
    _write_private(work / NO_USRMERGE, "Package: usrmerge\nPin: release *\nPin-Priority: -1\n")
    hooks = [
        'mkdir -p "$1/etc/apt/auth.conf.d" "$1/etc/apt/preferences.d"',
        "upload apt.conf /etc/apt/apt.conf.d/50host",
    ]
    for key, target in (
        ("netrc", "/etc/apt/auth.conf"),
        ("netrcparts", "/etc/apt/auth.conf.d"),
        ("preferences", "/etc/apt/preferences"),
        ("preferencesparts", "/etc/apt/preferences.d"),
    ):
        place = places[key]
        if place.is_file():
            hooks.append(f"upload {shlex.quote(str(place))} {target}")
        elif place.is_dir():
            files = sorted(item for item in place.iterdir() if item.is_file())
            hooks += [f"upload {shlex.quote(str(f))} {target}/{shlex.quote(f.name)}" for f in files]
    return hooks


def _places(environment: Mapping[str, str]) -> dict[str, Path]:
    keys = {
        "sourcelist": "f",
        "sourceparts": "d",
        "netrc": "f",
        "netrcparts": "d",
        "preferences": "f",
        "preferencesparts": "d",
    }
    argv = ["apt-config", "shell"]
    for key, kind in keys.items():
        argv += [key, f"Dir::Etc::{key}/{kind}"]
    said = proc.run(argv, timeout=stretched(_SECONDS), env=environment).stdout
    pairs = (word.partition("=") for word in shlex.split(said))
    found = {name: Path(value) for name, _, value in pairs}
    return {key: found.get(key, Path("/nonexistent")) for key in keys}


def _source_files(places: Mapping[str, Path]) -> list[Path]:
    parts = places["sourceparts"]
    found = [places["sourcelist"]] if places["sourcelist"].is_file() else []
    if parts.is_dir():
        found += [p for p in sorted(parts.iterdir()) if p.suffix in {".list", ".sources"}]
    return found


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)  # a source or a proxy may carry a password
    path.write_text(text)


def for_suite(texts: Mapping[Path, str], suite: str) -> dict[Path, str]:
    """Return the parts of apt's source files that serve binary packages of a release.

    Sources of other projects, of source packages and on CDs only make a build slow and fragile.
    Where no source names the release, all are returned, since the release may well be meant by
    another name, such as `stable`.

    Args:
        texts: the content of each file; one in deb822 form is called `*.sources`.
        suite: the code name of the release.
    """
    entries = [
        (path, entry, any(_is_of(name, suite) for name in suites))
        for path, text in texts.items()
        for entry, suites in (_stanzas if path.suffix == ".sources" else _lines)(text)
    ]
    anything = not any(ours for _, _, ours in entries)
    chosen: dict[Path, str] = {}
    for path, entry, ours in entries:
        if ours or anything:
            chosen[path] = chosen.get(path, "") + entry + "\n\n"
    return chosen


def _is_of(name: str, suite: str) -> bool:
    return name.strip("/") == suite or name.startswith((f"{suite}-", f"{suite}/"))


def _lines(text: str) -> list[tuple[str, list[str]]]:
    entries = []
    for line in text.splitlines():
        words = _OPTIONS.sub("", line, count=1).split()
        if len(words) > 2 and words[0] == "deb" and not words[1].startswith("cdrom:"):  # noqa: PLR2004  deb URI SUITE
            entries.append((line.strip(), [words[2]]))
    return entries


def _stanzas(text: str) -> list[tuple[str, list[str]]]:
    entries = []
    plain = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for stanza in re.split(r"\n\s*\n", plain):
        types = re.search(r"(?im)^Types:(.*)$", stanza)
        suites = re.search(r"(?im)^Suites:((?:.*)(?:\n[ \t].*)*)", stanza)
        off = re.search(r"(?im)^Enabled:\s*(no|false|0|off|without|disable)\b", stanza)
        if types and "deb" in types[1].split() and suites and not off:
            only = stanza.replace(types[0], "Types: deb").strip("\n")
            entries.append((only, suites[1].split()))
    return entries
