"""What secrets a recipe asks for, and the values made for them."""

from __future__ import annotations

import random
import string

import pytest

from harness.core.errors import InvalidRecipeError
from harness.recipes import envfile
from harness.recipes.secrets import CHARSETS, SecretSpec, generate, specs

SAMPLE = ".env.sample"


def read(text: str) -> tuple[SecretSpec, ...]:
    return specs(envfile.parse(text, name=SAMPLE), file=SAMPLE)


def test_secrets_are_found_in_the_env_file() -> None:
    """SECRET_<NAME>_VERSION asks for a secret; its comment says how long and of what."""
    found = read(
        "SECRET_DB_PASSWORD_VERSION=v1 # length=32 charset=hex\n"
        "SECRET_KEY_VERSION=v2\n"
        "#SECRET_OFF_VERSION=v1\n"
        "SECRET_API_TOKEN_VERSION=v3 # generate=false\n"
        "SECRET_VERSION=no\nMY_SECRET_X_VERSION=no\nSECRET_X=no\n"
        "SECRET_KEY_VERSION=v4 # length=8\n"
    )
    assert found == (
        SecretSpec(name="db_password", version="v1", length=32, charset="hex"),
        SecretSpec(name="key", version="v4", length=8),
        SecretSpec(name="api_token", version="v3", generate=False),
    )
    assert found[0].full_name("my-stack") == "my-stack_db_password_v1"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("SECRET_A_VERSION=", "has no version"),
        ("SECRET_A_VERSION=v1 # length=long", "has the length 'long'"),
        ("SECRET_A_VERSION=v1 # length=0", "has the length '0'"),
        ("SECRET_A_VERSION=v1 # length=-4", "has the length '-4'"),
        ("SECRET_A_VERSION=v1 # length=999999999", "has the length"),
        ("SECRET_A_VERSION=v1 # charset=klingon", "wants the charset 'klingon'"),
        ("SECRET_A_VERSION=v1 # charset=hex,emoji", "wants the charset 'emoji'"),
        ("SECRET_A_VERSION=v1 # generate=maybe", "says generate=maybe"),
    ],
)
def test_a_wish_that_means_nothing(line: str, problem: str) -> None:
    """A bad modifier makes the recipe invalid; file, line and secret are named."""
    with pytest.raises(InvalidRecipeError) as caught:
        read(f"TYPE=x\n{line}")
    assert caught.value.what.startswith(".env.sample, line 2: the secret 'a' ")
    assert problem in caught.value.what
    assert caught.value.hint


@pytest.mark.parametrize(
    ("charset", "allowed"),
    [
        ("", string.ascii_letters + string.digits),
        ("default", string.ascii_letters + string.digits),
        ("alnum", string.ascii_letters + string.digits),
        ("hex", string.digits + "abcdef"),
        ("numeric", string.digits),
        ("special", CHARSETS["special"]),
        ("numeric,safespecial", string.digits + CHARSETS["safespecial"]),
    ],
)
def test_a_value_uses_its_whole_charset_and_nothing_else(charset: str, allowed: str) -> None:
    """Every character of the charset may come, each as likely, and no other."""
    spec = SecretSpec(name="a", version="v1", length=4000, charset=charset)
    value = generate(spec, random=random.Random(1))  # noqa: S311  so that the test repeats
    assert len(value) == 4000
    assert set(value) == set(allowed)
    expected = 4000 / len(set(allowed))
    assert all(value.count(one) > expected / 3 for one in allowed)


def test_the_dollar_sign_is_not_safe() -> None:
    """Shells and compose files expand a dollar sign, so the safe charset has none."""
    assert "$" not in CHARSETS["safespecial"]
    assert "$" in CHARSETS["special"]


def test_without_a_length_there_are_32_characters() -> None:
    """Where the field's tool makes words, this makes 32 letters and digits."""
    value = generate(SecretSpec(name="a", version="v1"))
    assert len(value) == 32
    assert value.isalnum()


def test_values_differ_and_are_made_even_when_not_wanted() -> None:
    """No two values are alike; a secret that an operator brings gets one as well, for the test."""
    spec = SecretSpec(name="a", version="v1", length=24, generate=False)
    assert len({generate(spec) for _ in range(50)}) == 50


def test_an_unknown_charset_never_falls_back() -> None:
    """A spec made by hand is checked too: a weaker charset must not come in silently."""
    with pytest.raises(InvalidRecipeError, match="klingon"):
        generate(SecretSpec(name="a", version="v1", charset="klingon"))
