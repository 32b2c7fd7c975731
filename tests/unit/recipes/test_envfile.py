"""Env files and the exports of abra.sh."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core.errors import InvalidRecipeError
from harness.recipes import envfile
from tests.unit.committed import committed

SAMPLE = ".env.sample"


def values(text: str, **base: str) -> dict[str, str]:
    return envfile.as_dict(envfile.parse(text, name=SAMPLE, base=base))


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=", ""),
        ("A=b", "b"),
        ("A = b ", "b"),
        ("  A=b", "b"),
        ("export A=b", "b"),
        ("A=b c  d", "b c  d"),
        ("A=b # remark", "b"),
        ("A= # remark", ""),
        ("A=b#c", "b#c"),
        ("A=#b", "#b"),
        ("A=b=c", "b=c"),
        ("A='b # $HOME \\n'", "b # $HOME \\n"),
        ("A='b' # remark", "b"),
        ('A="b # c" # remark', "b # c"),
        ('A="b \\"c\\" \\\\ \\$X \\n"', 'b "c" \\ $X \n'),
        ('A="b\nc"', "b\nc"),
        ("A='b\nc'", "b\nc"),
        ("A=', `www.example.com`'", ", `www.example.com`"),
        ("A=Host(`x`)", "Host(`x`)"),
        ("A=it's", "it's"),
        ("A=c:\\dir", "c:\\dir"),
        ("A=\\$X", "$X"),
        ("A=10$", "10$"),
        ("A=b\r\n", "b"),
    ],
)
def test_a_value(line: str, value: str) -> None:
    """Quotes, comments and escapes are read as in the table, and the next line is its own."""
    assert values(f"{line}\nNEXT=1") == {"A": value, "NEXT": "1"}


@pytest.mark.parametrize(
    ("value", "filled"),
    [
        ("$X", "x"),
        ("${X}", "x"),
        ('"a${X}b$Y"', "axby"),
        ("'$X'", "$X"),
        ("$NOPE-", "-"),
        ("${NOPE}", ""),
        ("${NOPE:-d}", "d"),
        ("${EMPTY:-d}", "d"),
        ("${EMPTY-d}", ""),
        ("${X:-d}", "x"),
        ("$1 ${", "$1 ${"),
    ],
)
def test_variables_are_filled_in(value: str, filled: str) -> None:
    """Variables come from earlier lines and from the base; an unknown one is nothing."""
    assert values(f"Y=y\nEMPTY=\nA={value}", X="x")["A"] == filled


def test_a_variable_can_extend_itself() -> None:
    """COMPOSE_FILE grows line by line, and commented lines are switched off."""
    text = (
        'COMPOSE_FILE="compose.yml"\n'
        'COMPOSE_FILE="$COMPOSE_FILE:compose.mail.yml"\n'
        '#COMPOSE_FILE="$COMPOSE_FILE:compose.db.yml"\n'
        "  # COMPOSE_FILE=no\n"
        "COMPOSE_FILE=$COMPOSE_FILE:compose.x.yml\n"
    )
    assert values(text) == {"COMPOSE_FILE": "compose.yml:compose.mail.yml:compose.x.yml"}


def test_earlier_lines_go_before_the_base() -> None:
    """The base only knows what the file has not said yet."""
    assert values("B=$A\nA=file\nC=$A", A="base") == {"B": "base", "A": "file", "C": "file"}


def test_entries_keep_order_lines_and_modifiers() -> None:
    """Each assignment knows its line and its comment, and the comment's modifiers."""
    text = (
        "\n# head\nTYPE=x\n"
        "SECRET_DB_VERSION=v1 # length=32 charset=hex,special really\n"
        'SECRET_B_VERSION="v2\n" #generate=false\nTYPE=y#z'
    )
    entries = envfile.parse(text, name=SAMPLE)
    assert [(entry.key, entry.line) for entry in entries] == [
        ("TYPE", 3),
        ("SECRET_DB_VERSION", 4),
        ("SECRET_B_VERSION", 5),
        ("TYPE", 7),
    ]
    assert entries[1].value == "v1"
    assert entries[1].comment == "length=32 charset=hex,special really"
    assert entries[1].modifiers == {"length": "32", "charset": "hex,special"}
    assert entries[2].modifiers == {"generate": "false"}
    assert entries[3].modifiers == {}
    assert envfile.as_dict(entries)["TYPE"] == "y#z"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("nonsense", "it is not NAME=value"),
        ("A B=c", "it is not NAME=value"),
        ("1A=b", "it is not NAME=value"),
        ("=b", "it is not NAME=value"),
        ("export A", "it is not NAME=value"),
        ('A="b', 'the quote " is never closed'),
        ("A='b", "the quote ' is never closed"),
        ('A="b" c', "something follows the closing quote"),
        ("A='b'c", "something follows the closing quote"),
    ],
)
def test_a_line_that_cannot_be_read(line: str, problem: str) -> None:
    """Such a line makes the recipe invalid; the message names the file and line and shows it."""
    with pytest.raises(InvalidRecipeError) as caught:
        envfile.parse(f"OK=1\n\n{line}\n", name=SAMPLE)
    assert caught.value.what == f".env.sample, line 3: {problem}"
    assert caught.value.detail == line
    assert caught.value.hint


def test_files_are_read_and_missed(tmp_path: Path) -> None:
    """A file that is not there, or is no text, makes the recipe invalid."""
    path = tmp_path / SAMPLE
    with pytest.raises(InvalidRecipeError, match=r"has no \.env\.sample"):
        envfile.read(committed(tmp_path), SAMPLE)
    path.write_bytes(b"A=\xff")
    with pytest.raises(InvalidRecipeError, match="cannot be read"):
        envfile.read(committed(tmp_path), SAMPLE)
    path.write_text("A=$B")
    files = committed(tmp_path)
    assert envfile.as_dict(envfile.read(files, SAMPLE, base={"B": "b"})) == {"A": "b"}


def test_exports_are_read_as_text() -> None:
    """Exports outside functions count, without their quotes; nothing is expanded, let alone run."""
    text = r"""#!/bin/bash
export A=v1
export B="v 2" C='v3' # export N=1
export  D=v4; export E=v5
export F="$(touch /nope)" G=$A H=a\ b I="say \"hi\""
export J=
export	K=v6#7
export BARE
# export N=1
echo export N=1
L=1
backup() {
  export N=1
export N=2
}
function restore {
export N=3
}
other ()
{
export N=4
}
one_line() { export N=5; }
sub() (
export N=6
)
if true; then
  export N=7
fi
export A=v9
export Z=end"""
    assert envfile.abra_exports(text) == {
        "A": "v9",
        "B": "v 2",
        "C": "v3",
        "D": "v4",
        "E": "v5",
        "F": "$(touch /nope)",
        "G": "$A",
        "H": "a b",
        "I": 'say "hi"',
        "J": "",
        "K": "v6#7",
        "Z": "end",
    }
    assert envfile.abra_exports("") == {}
