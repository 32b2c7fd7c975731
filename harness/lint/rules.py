"""The rules of `abra recipe lint`: numbers, levels and meanings. docs/lint.md says whence each."""

from __future__ import annotations

import re
from dataclasses import dataclass

WARN, ERROR = "warn", "error"
NUMBER = re.compile(r"R\d{3}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule. `needs` says what a check of it would have to reach, or is empty."""

    number: str
    level: str
    about: str
    needs: str = ""


def _rule(number: str, level: str, about: str, needs: str = "") -> Rule:
    return Rule(number=number, level=level, about=about, needs=needs)


RULES = (
    _rule("R001", WARN, "compose.yml is of format version 3.8"),
    _rule("R002", WARN, "each service has a health check"),
    _rule("R003", WARN, "each image has a tag"),
    _rule("R004", WARN, "no image has the tag 'latest'"),
    _rule("R005", WARN, "the tag of each image looks like a version"),
    _rule("R006", WARN, "the recipe's version is in the catalogue", "the catalogue"),
    _rule("R007", WARN, "the metadata in README.md is filled in"),
    _rule("R008", ERROR, ".env.sample is there"),
    _rule("R009", ERROR, "one service is called 'app'"),
    _rule("R010", ERROR, "a service is routed by Traefik"),
    _rule("R011", ERROR, "each service has an image"),
    _rule("R012", ERROR, "abra.sh has the versions of the configs"),
    _rule("R013", WARN, "the recipe has a repository at Co-op Cloud's forge", "the forge"),
    _rule("R014", ERROR, "each tag is an annotated one"),
    _rule("R015", WARN, "no secret's name is longer than 12 characters"),
)
# Not one of abra's: it is checked whichever program speaks.
BACKUP = _rule("B001", WARN, "the backup labels are those of the published specification")
BY_NUMBER = {rule.number: rule for rule in RULES}
