"""Every command of the harness: what it does, what it takes, how it ends, and an example.

`harness.core.command_line` makes parsers and `--help` of it. Only the standard library is imported
here, because `nox -l` reads this module too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.core.options import OPTIONS

PULL_REQUEST = "https://git.example.org/coop/gitea/pulls/12"
FORMATS = ("drone", "forgejo", "gitea", "github", "gitlab", "json", "names", "woodpecker")
USUAL_EXITS = {
    2: "the call is wrong; nothing was touched",
    3: "error: this machine or the harness is wrong, not the recipe",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command.

    Attributes:
        does: what it does, in one line.
        usage: how `--help` shows what follows its name.
        arguments: what it takes beside the options of a run, as argparse wants it.
        options: the names of those options of a run that it takes, too.
        examples: what to type, without the program's name.
        exits: what its exit codes mean; `USUAL_EXITS` are added.
    """

    does: str
    usage: str
    arguments: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    options: tuple[str, ...] = ()
    examples: tuple[str, ...]
    exits: Mapping[int, str] = field(default_factory=lambda: {0: "done"})


def _takes(name: str, **how: object) -> tuple[str, Mapping[str, Any]]:
    return name, how


_READ = {
    5: "a lock was not free in time",
    6: "the recipe's source or ref cannot be had",
    8: "refused: the recipe asks for something of this machine that is not allowed",
}
_RECIPE = "a name from recipes.txt, a path or a git URL, each with an optional #REF"
_RECIPES = _takes("selectors", nargs="*", metavar="RECIPE", help=_RECIPE)
_RUN_RECIPES = _takes("selectors", nargs="*", metavar="RECIPE", help=f"{_RECIPE} [RECIPE]")
_ALLOW_EMPTY = _takes("--allow-empty", action="store_true", help="exit with 0 instead of 7")
_NO_FORGE = "the forge cannot be reached, or refused"
_FORGE = ("pr", "forge", "forge_api", "token_file", "timeout_factor")

COMMANDS: Mapping[str, Command] = {
    "run": Command(
        does="test recipes on a real Swarm: install, upgrade, backup, restore, custom",
        usage="RECIPE... [options]",
        arguments=(_RUN_RECIPES,),
        options=tuple(option.name for option in OPTIONS),
        examples=(
            "run custom-html", "run ../my-recipe#my-branch --stages install,upgrade",
            f"run gitea --pr {PULL_REQUEST}",
        ),
        exits=_READ | {
            0: "passed",
            1: "failed: the recipe is wrong",
            4: "nothing was asserted",
            130: "aborted by Ctrl-C or a signal",
        },
    ),
    "plan": Command(
        does="print what a run would do, without an engine or a deployment",
        usage="RECIPE... [options]",
        arguments=(_RUN_RECIPES,),
        options=(
            *("ref", "src", "version", "stages", "overlays", *_FORGE),
            *("domain", "trust", "cache", "lock_timeout"),
        ),
        examples=("plan custom-html", "plan ../my-recipe#my-branch --stages upgrade"),
        exits=_READ | {0: "planned", 1: "the recipe cannot be deployed at all"},
    ),
    "lint": Command(
        does="check recipes' files by the rules of `abra recipe lint`, without an engine",
        usage="RECIPE... [options]",
        arguments=(_RECIPES,),
        options=("ref", "src", "pr", "cache", "lock_timeout", "timeout_factor", "lint"),
        examples=("lint custom-html ../my-recipe", "lint custom-html --lint gate"),
        exits=_READ | {
            0: "checked, whatever was found",
            1: "--lint gate: a rule of level error is broken; or the recipe cannot be read",
        },
    ),
    "abra": Command(
        does="show which abra is used, or build one into the cache",
        usage="[status | install [REVISION]]",
        arguments=(
            _takes("action", nargs="?", choices=("status", "install"), default="status",
                   metavar="ACTION", help="status: show which abra is used (the default); install: "
                   "build one with Go"),
            _takes("revision", nargs="?", default="", metavar="REVISION",
                   help="a commit or tag of abra (default: one that is known)"),
        ),
        options=("cache", "timeout_factor"),
        examples=("abra status", "abra install"),
        exits={0: "abra can be used", 3: "there is no abra that can be used, or no Go to build it"},
    ),
    "engine": Command(
        does="start, show, stop or remove the private engine",
        usage="[start | status | stop | purge]",
        arguments=(
            _takes("action", nargs="?", choices=("start", "status", "stop", "purge"),
                   default="status", metavar="ACTION",
                   help="start it unless it runs; show its status (the default); stop it; purge: "
                   "stop it, and remove it with all its data"),
        ),
        options=("cache", "timeout_factor"),
        examples=("engine status", "engine purge"),
        exits={0: "done", 2: "the call is wrong, or runs use the engine; nothing was touched"},
    ),
    "pr": Command(
        does="print the head and base of a pull request as JSON, for a CI",
        usage="--pr URL | RECIPE --pr N",
        arguments=(_RECIPES,),
        options=("src", *_FORGE),
        examples=(f"pr --pr {PULL_REQUEST}", "pr gitea --pr 12"),
        exits={0: "printed", 6: _NO_FORGE},
    ),
    "post": Command(
        does="write runs' results to a pull request: a status for each, and one comment",
        usage="RUN... --pr URL --token-file FILE [options]",
        arguments=(
            _takes("runs", nargs="*", metavar="RUN", help="the directory of a run"),
            _takes("--sha", default="", metavar="SHA",
                   help="post nothing unless every run has tested this commit"),
            _takes("--on", default="", metavar="SHA",
                   help="the commit that gets the statuses (default: the tested one)"),
            _takes("--context", default="cc-ci", metavar="NAME",
                   help="name of statuses and comment (default: cc-ci)"),
            _takes("--details", default="", metavar="URL", help="a link to the whole report"),
            _takes("--login", default="", metavar="NAME",
                   help="the token's owner (default: the forge is asked)"),
        ),
        options=_FORGE,
        examples=(f"post runs/NAME --pr {PULL_REQUEST} --token-file ~/token",),
        exits={0: "posted", 6: _NO_FORGE},
    ),
    "reap": Command(
        does="remove what dead runs left behind",
        usage="[RUN...] [options]",
        arguments=(
            _takes("runs", nargs="*", metavar="RUN",
                   help="also remove this run, which --keep left up"),
            _takes("--dry-run", action="store_true", help="only print what would be removed"),
        ),
        options=("engine", "cache", "timeout_factor"),
        examples=("reap --dry-run", "reap custom-html-20260102T030405-0a1b2c3d"),
        exits={
            0: "nothing is left, or --dry-run",
            3: "something could not be removed, or there is no engine",
        },
    ),
    "matrix": Command(
        does="write the jobs of a CI, one for each recipe or shard",
        usage="[RECIPE...] [options]",
        arguments=(
            _takes("recipes", nargs="*", metavar="RECIPE",
                   help="a name from recipes.txt (default: all of them)"),
            _takes("--format", default="json", choices=FORMATS,
                   help="drone, gitea and woodpecker: a whole file to keep in the repository; "
                   "forgejo and github: a matrix; gitlab: a pipeline; json: a plan; names: one "
                   "line (default: json)"),
            _takes("--changed", default="", metavar="BASE...HEAD",
                   help="only recipes that these commits change"),
            _takes("--within", type=Path, metavar="PLAN", help="only recipes of this plan"),
            _takes("--shards", default="0", metavar="N",
                   help="share the recipes among N jobs at most (default: a job for each)"),
            _takes("--times", action="append", type=Path, metavar="DIR",
                   help="earlier runs, whose times make equal shards; may be repeated (default: "
                   "runs) [CCCI_OUTPUT]"),
            _takes("--plan", type=Path, metavar="FILE", help="also write the plan, as json"),
            _takes("--out", type=Path, metavar="FILE",
                   help="write to this file (default: standard output)"),
            _ALLOW_EMPTY,
        ),
        examples=(
            "matrix --format github --changed origin/main...HEAD --plan plan.json",
            "matrix --format woodpecker --out .woodpecker/recipes.yml",
        ),
        exits={0: "written", 7: "no recipe is selected"},
    ),
    "verify-matrix": Command(
        does="check that each planned recipe was run once, and passed",
        usage="--plan FILE RUNS... [--allow-empty]",
        arguments=(
            _takes("runs", nargs="+", type=Path, metavar="RUNS",
                   help="a directory that the runs of all jobs are below"),
            _takes("--plan", type=Path, required=True, metavar="FILE",
                   help="what `matrix --plan FILE` or `matrix --out FILE` wrote"),
            _ALLOW_EMPTY,
        ),
        examples=("verify-matrix --plan plan.json runs",),
        exits={
            0: "each planned recipe was run once, and passed",
            1: "a run failed; 4, 5, 6, 8 or 130: so ended the first run that did not pass",
            3: "a run is missing, doubled, not planned or cannot be read, or ended with 3",
            7: "no recipe was planned",
        },
    ),
    "site": Command(
        does="write one page for all recipes, with badges, from their runs",
        usage="[RUNS...] [--out DIR]",
        arguments=(
            _takes("roots", nargs="*", type=Path, metavar="RUNS",
                   help="a directory of runs (default: runs) [CCCI_OUTPUT]"),
            _takes("--out", type=Path, metavar="DIR",
                   help="where the page goes (default: site, in the first directory of runs)"),
        ),
        examples=("site", "site runs --out /srv/www/cc-ci"),
        exits={0: "written"},
    ),
    "summary": Command(
        does="print a summary of runs in Markdown",
        usage="RUN...",
        arguments=(
            _takes("runs", nargs="*", type=Path, metavar="RUN", help="the directory of a run"),
        ),
        examples=("summary runs/custom-html-*",),
        exits={0: "printed, whatever the runs ended in", 3: "a run has no results to be read"},
    ),
    "schema": Command(
        does="print the JSON Schema of results.json",
        usage="",
        examples=("schema > docs/results.schema.json",),
        exits={0: "printed"},
    ),
}  # fmt: skip
