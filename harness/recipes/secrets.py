"""The secrets that an env file asks for, and values for them that live as long as a test run.

`SECRET_DB_PASSWORD_VERSION=v1 # length=32 charset=hex` asks for the secret `db_password`. With a
length the value has that many characters. Without one the field's own tool makes a passphrase of
several words; here it is 32 letters and digits instead, since no recipe may care and a list of
words would be a dependency for nothing.
"""

from __future__ import annotations

import re
import secrets
import string
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

from harness.core.errors import InvalidRecipeError
from harness.recipes.envfile import EnvEntry

DEFAULT_LENGTH = 32
MOST_CHARACTERS = 4096
MOST_SECRETS = 200
_ALNUM = string.ascii_letters + string.digits
CHARSETS = {
    "default": _ALNUM,
    "alnum": _ALNUM,
    "hex": string.digits + "abcdef",
    "numeric": string.digits,
    "special": "!@#$%^&*_-+=",
    "safespecial": "!@#%^&*_-+=",  # without the dollar sign, which shells and compose files expand
}
_KEY = re.compile(r"SECRET_(?P<name>.+)_VERSION")
_RANDOM = secrets.SystemRandom()


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretSpec:
    """One secret that the recipe wants.

    Attributes:
        name: its name in the compose file, lowercase.
        version: such as `v1`.
        length: characters, or None when the recipe names none.
        charset: names of `CHARSETS`, with commas between them; empty means `default`.
        generate: False when an operator has to bring the value (an API key, say).
    """

    name: str
    version: str
    length: int | None = None
    charset: str = ""
    generate: bool = True

    def full_name(self, stack: str) -> str:
        """Return the name under which Swarm knows it."""
        return f"{stack}_{self.name}_{self.version}"


def specs(entries: Iterable[EnvEntry], *, file: str) -> tuple[SecretSpec, ...]:
    """Return the secrets that the assignments of an env file ask for, each once, in their order.

    Raises:
        InvalidRecipeError: a version is empty, a modifier has a value that means nothing, or there
            are too many.
    """
    found: dict[str, SecretSpec] = {}
    for entry in entries:
        if match := _KEY.fullmatch(entry.key):
            name = match["name"].lower()
            found[name] = _spec(name, entry, file)
    if len(found) > MOST_SECRETS:
        raise InvalidRecipeError(
            f"{file} asks for {len(found)} secrets, more than the limit of {MOST_SECRETS}",
            hint="ask for those that the recipe uses",
        )
    return tuple(found.values())


def generate(spec: SecretSpec, *, random: Random = _RANDOM) -> str:
    """Return a fresh value, even where `spec.generate` is False: the caller reports that.

    Raises:
        InvalidRecipeError: the charset is not known.
    """
    characters = _characters(spec.charset, f"the secret '{spec.name}'")
    length = DEFAULT_LENGTH if spec.length is None else spec.length
    return "".join(random.choice(characters) for _ in range(length))


def _spec(name: str, entry: EnvEntry, file: str) -> SecretSpec:
    where = f"{file}, line {entry.line}: the secret '{name}'"
    if not entry.value:
        raise InvalidRecipeError(f"{where} has no version", hint=f"write {entry.key}=v1")
    modifiers = entry.modifiers
    charset = modifiers.get("charset", "")
    _characters(charset, where)
    return SecretSpec(
        name=name,
        version=entry.value,
        length=_length(modifiers.get("length"), where),
        charset=charset,
        generate=_switch(modifiers.get("generate", "true"), where),
    )


def _length(text: str | None, where: str) -> int | None:
    if text is None:
        return None
    length = int(text) if re.fullmatch(r"[0-9]{1,6}", text) else 0
    if not 1 <= length <= MOST_CHARACTERS:
        raise InvalidRecipeError(
            f"{where} has the length '{text}'",
            hint=f"write length=N with a number from 1 to {MOST_CHARACTERS}",
        )
    return length


def _switch(text: str, where: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise InvalidRecipeError(f"{where} says generate={text}", hint="write true or false")
    return text.lower() == "true"


def _characters(charset: str, where: str) -> str:
    names = [name for name in charset.split(",") if name] or ["default"]
    for name in names:
        if name not in CHARSETS:
            raise InvalidRecipeError(
                f"{where} wants the charset '{name}', which is not known",
                hint=f"the charsets are {', '.join(CHARSETS)}",
            )
    return "".join(dict.fromkeys("".join(CHARSETS[name] for name in names)))
