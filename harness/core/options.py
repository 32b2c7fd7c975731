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


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One setting: its field, its variable in the environment, how its text is read."""

    name: str
    env: str
    parse: Callable[[str], object]
    default: object
    help: str
    metavar: str = ""  # empty for an option that takes no value

    @property
    def flag(self) -> str:
        """The option on the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def is_path(self) -> bool:
        """Whether its value may be a path, which a file means as seen from its own directory."""
        return self.parse in (_path, _source)


def _text(value: str) -> str:
    return value


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


def parse_factor(value: str) -> float:
    """Read a factor of time-outs."""
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


def _choice(*choices: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value not in choices:
            raise ValueError(f"one of {', '.join(choices)} is expected")
        return value

    return parse


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


OPTIONS = (
    Option(name="ref", env="REF", parse=_text, default="", metavar="REF",
           help="the commit, branch or tag under test (default: the default branch)"),
    Option(name="src", env="SRC", parse=_source, default="", metavar="URL|PATH",
           help="take the recipe from there instead of the source in recipes.txt"),
    Option(name="pr", env="PR", parse=_text, default="", metavar="URL|N",
           help="test the head of that pull request: its address, or its number on the source's "
           "forge"),
    Option(name="forge", env="CCCI_FORGE",
           parse=_choice("auto", "gitea", "forgejo", "github", "gitlab"), default="auto",
           metavar="KIND", help="whose API to speak (auto: by the pull request's address, or by "
           "the source's host)"),
    Option(name="forge_api", env="CCCI_FORGE_API", parse=_text, default="", metavar="URL",
           help="where that API is (default: where that kind of forge has it)"),
    Option(name="token_file", env="CCCI_TOKEN_FILE", parse=_path, default=None, metavar="FILE",
           help="the forge's token, or a host, a blank and its token; a run needs it only for "
           "private repositories"),
    Option(name="version", env="VERSION", parse=_text, default="", metavar="TAG",
           help="the release to upgrade from (default: the newest one older than the head)"),
    Option(name="stages", env="STAGES", parse=parse_stages, default=tuple(Stage), metavar="A,B",
           help="run only these stages, and the ones that they need"),
    Option(name="domain", env="CCCI_DOMAIN", parse=_text, default="", metavar="DOMAIN",
           help="deploy under this domain (default: a short random one for each run)"),
    Option(name="keep", env="CCCI_KEEP", parse=parse_yes, default=False,
           help="leave the app running after the run, and say how to remove it"),
    Option(name="jobs", env="CCCI_JOBS", parse=_count, default=1, metavar="N",
           help="how many recipes to test at a time, each in a process of its own (default: 1)"),
    Option(name="output", env="CCCI_OUTPUT", parse=_path, default=Path("runs"), metavar="DIR",
           help="where each run makes its directory (default: runs, beside recipes.txt)"),
    Option(name="platform", env="CCCI_PLATFORM", parse=_choice("auto", "swarm", "abra"),
           default="auto", metavar="NAME",
           help="swarm: deploy natively; abra: have abra deploy; auto: abra where it and a server "
           "of its own are there, else swarm"),
    Option(name="backup_driver", env="CCCI_BACKUP_DRIVER",
           parse=_choice("auto", "restic", "backupbot"), default="auto", metavar="NAME",
           help="restic: back up natively; backupbot: have a backup bot do so, through abra where "
           "it deploys; auto: backupbot where abra deploys, else restic"),
    Option(name="engine", env="CCCI_ENGINE", parse=_choice("auto", "external", "private"),
           default="auto", metavar="MODE",
           help="auto: one in reach, else a private one; external: never start or install one"),
    Option(name="cache", env="CCCI_CACHE", parse=_path, default=None, metavar="DIR",
           help="engine, images, samples and locks (default: cc-ci in the user's cache directory)"),
    Option(name="overlays", env="CCCI_OVERLAYS", parse=_directory, default=None, metavar="DIR",
           help="where recipes' overlays and approvals lie (default: tests, beside the harness)"),
    Option(name="lock", env="CCCI_LOCK", parse=_choice("auto", "local", "swarm"),
           default="auto", metavar="MODE",
           help="auto: swarm where other hosts can deploy to the same Swarm, else local"),
    Option(name="lock_timeout", env="CCCI_LOCK_TIMEOUT", parse=_seconds, default=900.0,
           metavar="SECONDS", help="how long to wait for a lock that another run holds"),
    Option(name="run_timeout", env="CCCI_RUN_TIMEOUT", parse=_seconds, default=3600.0,
           metavar="SECONDS", help="how long a run may take, without waiting for its lock and "
           "being removed; 0 for no limit"),
    Option(name="timeout_factor", env="CCCI_TIMEOUT_FACTOR", parse=parse_factor, default=1.0,
           metavar="FACTOR", help="multiplies every time-out, for slow hosts"),
    Option(name="endpoint_mode", env="CCCI_ENDPOINT_MODE", parse=_choice("auto", "vip", "dnsrr"),
           default="auto", metavar="MODE",
           help="auto: dnsrr where the kernel has no IPVS, said in the report"),
    Option(name="screenshots", env="CCCI_SCREENSHOTS", parse=_choice("auto", "off"), default="auto",
           metavar="MODE", help="auto: pictures of the app's page where there is a Chromium"),
    Option(name="lint", env="CCCI_LINT", parse=_choice("report", "gate", "off"),
           default="report", metavar="MODE",
           help="report: say which of the rules of `abra recipe lint` are broken; gate: a broken "
           "one of level error fails the run before anything is deployed"),
    Option(name="strict", env="CCCI_STRICT", parse=parse_yes, default=False,
           help="fail a run with a warning that the recipe's ACCEPT_WARNINGS does not accept"),
    Option(name="trust", env="CCCI_TRUST", parse=parse_yes, default=False,
           help="allow whatever a recipe asks of this machine, without HOST_ACCESS in its meta"),
)  # fmt: skip


def option_named(name: str) -> Option:
    """Return one of a run's options, for a command that has it, too."""
    return next(option for option in OPTIONS if option.name == name)


TIMEOUT_FACTOR = option_named("timeout_factor")
