"""The options of a run: each one's field, its variable in the environment, how its text is read.

Only the standard library is imported here, because `nox -l` reads this module too.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import UnknownNameError
from harness.core.model import Stage
from harness.core.nearest import nearest


def _text(value: str) -> str:
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One setting: its field, its variable in the environment, how its text is read.

    Attributes:
        default: the text that means the field's default; empty if `help` tells it, or it is "no".
        metavar: how `--help` shows its value; empty for a switch and where there are choices.
        choices: the texts that it takes; empty for any that `parse` can read.
    """

    name: str
    env: str
    help: str
    parse: Callable[[str], object] = _text
    default: str = ""
    metavar: str = ""
    choices: tuple[str, ...] = ()

    @property
    def flag(self) -> str:
        """The option on the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def is_path(self) -> bool:
        """Whether its value may be a path, which a file means as seen from its own directory."""
        return self.parse in (_path, _source)

    @property
    def is_switch(self) -> bool:
        """Whether it takes no value on the command line."""
        return self.parse is parse_yes

    @property
    def about(self) -> str:
        """What `--help` says of it: its meaning, its default and its variable."""
        default = f" (default: {self.default})" if self.default else ""
        return f"{self.help}{default} [{self.env}]"

    def read(self, text: str) -> object:
        """Return the value that a text means.

        Raises:
            ValueError: it is none.
        """
        if self.choices and text not in self.choices:
            raise ValueError(f"one of {', '.join(self.choices)} is expected")
        return self.parse(text)


def _number(value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError("a number is expected")
    return number


def _seconds(value: str) -> float:
    number = _number(value)
    if number < 0:
        raise ValueError("a number of seconds is not negative")
    return number


def _factor(value: str) -> float:
    number = _number(value)
    if not 0.1 <= number <= 100:  # noqa: PLR2004  outside it is a typing error, not a slow host
        raise ValueError("a factor lies between 0.1 and 100")
    return number


def _count(value: str) -> int:
    number = int(value) if value.isascii() and value.isdigit() else 0
    if not 1 <= number <= 1000:  # noqa: PLR2004  outside it is a typing error
        raise ValueError("a whole number from 1 to 1000 is expected")
    return number


def parse_yes(value: str) -> bool:
    """Read a switch."""
    if value.lower() in ("1", "true", "yes", "on"):
        return True
    if value.lower() in ("", "0", "false", "no", "off"):
        return False
    raise ValueError("1 or 0 is expected")


def _path(value: str) -> Path:
    if not value:  # it would be the current directory, which nobody meant
        raise ValueError("a path is expected")
    return Path(os.path.abspath(Path(value).expanduser()))  # noqa: PTH100  it also takes `..` out


def _source(value: str) -> str:
    """Return a path as an absolute one, and a URL or `sample:NAME` as it is."""
    is_path = value and ":" not in value.partition("/")[0]
    return str(_path(value)) if is_path else value


def _directory(value: str) -> Path:
    path = _path(value)
    if not path.is_dir():  # with a typing error in it, fewer tests would look like a pass
        raise ValueError(f"{path} is not a directory")
    return path


def parse_stages(value: str) -> tuple[Stage, ...]:
    """Read a comma list of stages, and return them in the order in which they run.

    Raises:
        UnknownNameError: one of them is not a stage.
        ValueError: one of them is empty, as where a variable is not set.
    """
    asked = [word.strip() for word in value.split(",")]
    if not all(asked):
        raise ValueError(
            "a stage is missing between its commas" if value.strip() else "it is empty"
        )
    for word in asked:
        if word not in list(Stage):
            raise UnknownNameError(f"there is no stage '{word}'", hint=nearest(word, Stage))
    return tuple(stage for stage in Stage if stage in asked)


# Each heading of `--help`, and the options below it.
GROUPS = {
    "what to test": (
        Option(name="ref", env="REF", metavar="REF",
               help="the commit, branch or tag to test (default: the default branch)"),
        Option(name="src", env="SRC", parse=_source, metavar="URL|PATH",
               help="take the recipe from there instead of the source in recipes.txt"),
        Option(name="version", env="VERSION", metavar="TAG",
               help="the release to upgrade from (default: the newest one older than the head)"),
        Option(name="stages", env="STAGES", parse=parse_stages, metavar="A,B",
               help="run only these stages and those that they need; of "
               f"{', '.join(Stage)} (default: all)"),
        Option(name="overlays", env="CCCI_OVERLAYS", parse=_directory, metavar="DIR",
               help="the directory of the recipes' own tests and approvals (default: tests, "
               "beside the harness)"),
    ),
    "pull requests and forges": (
        Option(name="pr", env="PR", metavar="URL|N",
               help="the pull request: its address, or its number on the forge of the recipe's "
               "source"),
        Option(name="forge", env="CCCI_FORGE", default="auto",
               choices=("auto", "gitea", "forgejo", "github", "gitlab"),
               help="whose API to speak; auto: as the pull request's address or the source's host "
               "says"),
        Option(name="forge_api", env="CCCI_FORGE_API", metavar="URL",
               help="the address of that API (default: where that kind of forge has it)"),
        Option(name="token_file", env="CCCI_TOKEN_FILE", parse=_path, metavar="FILE",
               help="a file with the forge's token, or with its host, a blank and the token; a run "
               "needs one only for private repositories"),
    ),
    "how to deploy": (
        Option(name="platform", env="CCCI_PLATFORM", default="auto",
               choices=("auto", "swarm", "abra"),
               help="swarm: deploy natively; abra: have abra deploy; auto: abra if it is installed "
               "and has a server, else swarm"),
        Option(name="backup_driver", env="CCCI_BACKUP_DRIVER", default="auto",
               choices=("auto", "restic", "backupbot"),
               help="restic: back up natively; backupbot: have a backup bot do it; auto: backupbot "
               "where abra deploys, else restic"),
        Option(name="domain", env="CCCI_DOMAIN", metavar="DOMAIN",
               help="deploy under this domain (default: a short random one for each run)"),
        Option(name="endpoint_mode", env="CCCI_ENDPOINT_MODE", default="auto",
               choices=("auto", "vip", "dnsrr"),
               help="of all services; auto: dnsrr if the kernel has no IPVS, and the report says "
               "so"),
        Option(name="trust", env="CCCI_TRUST", parse=parse_yes,
               help="allow all that a recipe asks of this machine, without HOST_ACCESS in its "
               "recipe_meta.py"),
        Option(name="keep", env="CCCI_KEEP", parse=parse_yes,
               help="leave the app up for 24 hours, and print how to remove it"),
    ),
    "machine and time limits": (
        Option(name="engine", env="CCCI_ENGINE", default="auto",
               choices=("auto", "external", "private"),
               help="auto: an engine in reach, else a private one; external: never start or "
               "install one; private: only a private one"),
        Option(name="cache", env="CCCI_CACHE", parse=_path, metavar="DIR",
               help="the directory of the private engine, images, samples and locks (default: "
               "cc-ci in the user's cache directory)"),
        Option(name="jobs", env="CCCI_JOBS", parse=_count, default="1", metavar="N",
               help="how many recipes to test at the same time"),
        Option(name="lock", env="CCCI_LOCK", default="auto", choices=("auto", "local", "swarm"),
               help="local: lock files of this host; swarm: a lock in the Swarm, too; auto: swarm "
               "if other hosts can deploy to the same Swarm"),
        Option(name="lock_timeout", env="CCCI_LOCK_TIMEOUT", parse=_seconds, default="900",
               metavar="SECONDS", help="how long to wait for a lock that another run holds"),
        Option(name="run_timeout", env="CCCI_RUN_TIMEOUT", parse=_seconds, default="3600",
               metavar="SECONDS", help="how long a run may take once it has its lock, clean-up not "
               "counted; 0: no limit"),
        Option(name="timeout_factor", env="CCCI_TIMEOUT_FACTOR", parse=_factor, default="1",
               metavar="FACTOR", help="multiply every time-out, for slow hosts"),
    ),
    "verdict and reports": (
        Option(name="lint", env="CCCI_LINT", default="report", choices=("report", "gate", "off"),
               help="report: list the rules of `abra recipe lint` that are broken; gate: also fail "
               "before anything is deployed if one of level error is broken"),
        Option(name="strict", env="CCCI_STRICT", parse=parse_yes,
               help="fail a run that has a warning which the recipe's ACCEPT_WARNINGS does not "
               "accept"),
        Option(name="output", env="CCCI_OUTPUT", parse=_path, metavar="DIR",
               help="where each run makes its directory (default: runs, beside recipes.txt)"),
        Option(name="screenshots", env="CCCI_SCREENSHOTS", default="auto", choices=("auto", "off"),
               help="auto: put pictures of the app's page into the report if there is a Chromium"),
    ),
}  # fmt: skip
OPTIONS = tuple(option for options in GROUPS.values() for option in options)
