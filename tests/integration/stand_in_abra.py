"""A stand-in for abra, which does what is told of it: for tests, where the program cannot be had.

It is not abra and proves nothing about it. It shares nothing with the platform of the harness but
how programs are started, so that the driver of abra meets one which writes its own labels.
"""

import argparse
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from string import Template

import yaml

from harness.core import proc

HOME = Path(os.environ.get("ABRA_DIR", "/nowhere"))
OWN_FILE = "abra-labels.json"
EXPORT = re.compile(r"export [A-Z_]+=")
ASSIGNMENT = re.compile(
    r"(?P<key>\w+)=(?:'(?P<single>[^']*)'|\"(?P<double>[^\"]*)\"|(?P<bare>[^#\"']*?))\s*(?:#.*)?"
)


def main(words: list[str]) -> int:
    """Do one call."""
    if words == ["--version"]:
        say("abra version 0.10.0-stand-in")
        return 0
    parser = argparse.ArgumentParser()
    verbs = parser.add_subparsers(required=True).add_parser("app").add_subparsers(required=True)
    for verb, act in (
        ("new", new), ("deploy", deploy), ("undeploy", undeploy), ("remove", remove),
        ("restore", restore),
    ):  # fmt: skip
        command(verbs.add_parser(verb), act)
    backups = verbs.add_parser("backup").add_subparsers(required=True)
    command(backups.add_parser("create"), back_up)
    command(backups.add_parser("snapshots"), snapshots)
    call = parser.parse_args(words)
    code: int = call.act(call)
    return code


def command(parser: argparse.ArgumentParser, act: Callable[[argparse.Namespace], int]) -> None:
    """Give one command its words and flags."""
    parser.set_defaults(act=act)
    parser.add_argument("name")
    parser.add_argument("version", nargs="?")
    for flag in ("no-input", "offline", "chaos", "force", "no-domain-checks", "no-converge-checks"):
        parser.add_argument(f"--{flag}", action="store_true")
    parser.add_argument("--server", default="default")
    parser.add_argument("--domain", default="")
    parser.add_argument("--snapshot", default="")


def new(call: argparse.Namespace) -> int:
    """Make an app's settings of a recipe's sample."""
    recipe = HOME / "recipes" / call.name
    if call.version:
        git(recipe, "checkout", "--quiet", call.version)
    text = (recipe / ".env.sample").read_text()
    sample = next(line for line in text.splitlines() if line.startswith("DOMAIN="))
    domain = sample.partition("=")[2].strip('"')
    settings_of(call.domain).write_text(text.replace(domain, call.domain))
    return 0


def deploy(call: argparse.Namespace) -> int:
    """Deploy a release, or as chaos what is checked out."""
    stack = call.name.replace(".", "_")
    recipe = recipe_of(call.name)
    if not call.chaos:
        if git(recipe, "cat-file", "-t", call.version) != "tag":
            say(f"FATA R014 only annotated tags used for recipe version: {call.version}")
            return 1
        git(recipe, "checkout", "--quiet", call.version)
        if git(recipe, "status", "--porcelain"):
            say("FATA the recipe has unstaged changes")
            return 1
    env = environment(call.name, recipe)
    files = env.get("COMPOSE_FILE", "compose.yml").split(":")
    prefix = f"coop-cloud.{stack}"
    labels = {f"{prefix}.recipe": recipe.name, f"{prefix}.chaos": str(call.chaos).lower()}
    if call.chaos:
        dirty = "+U" if git(recipe, "status", "--porcelain") else ""
        labels[f"{prefix}.chaos-version"] = git(recipe, "rev-parse", "HEAD")[:8] + dirty
    read = [yaml.safe_load((recipe / file).read_text()) for file in files]
    names = {name for one in read for name in one.get("services") or {}}
    own = {"services": {name: {"deploy": {"labels": labels}} for name in names}}
    versions = [one["version"] for one in read if one.get("version")]
    (HOME / OWN_FILE).write_text(json.dumps({**own, "version": (versions or ["3.8"])[0]}))
    argv = ["docker", "stack", "deploy", "--resolve-image", "never", "--detach=true"]
    for file in [*(str(recipe / file) for file in files), str(HOME / OWN_FILE)]:
        argv += ["-c", file]
    return passed_on(proc.run([*argv, stack], timeout=90, env=env, cwd=recipe, check=False))


def undeploy(call: argparse.Namespace) -> int:
    """Take the app down; its data stays."""
    stack = call.name.replace(".", "_")
    return passed_on(proc.run(["docker", "stack", "rm", stack], timeout=90, check=False))


def remove(call: argparse.Namespace) -> int:
    """Forget the app."""
    settings_of(call.name).unlink()
    return 0


def back_up(call: argparse.Namespace) -> int:
    """Have the server's backup bot make a snapshot of the app."""
    return bot("create", call.name)


def snapshots(call: argparse.Namespace) -> int:
    """Have the server's backup bot name the app's snapshots."""
    return bot("snapshots", call.name)


def restore(call: argparse.Namespace) -> int:
    """Have the server's backup bot bring a snapshot back."""
    return bot("restore", call.name, *([f"SNAPSHOT={call.snapshot}"] if call.snapshot else []))


def bot(act: str, domain: str, *variables: str) -> int:
    """Call the program of the one service that says it is a backup bot, in its container."""
    services = docker("service", "ls", "-q", "--filter", "label=coop-cloud.backupbot.enabled")
    if len(services.split()) != 1:
        say(f"FATA {len(services.split())} services with label coop-cloud.backupbot.enabled")
        return 1
    service = docker("service", "inspect", services, "-f", "{{.ID}}")
    container = docker("ps", "-q", "--filter", f"label=com.docker.swarm.service.id={service}")
    argv = ["docker", "exec"]
    for variable in (f"SERVICE={domain}", "MACHINE_LOGS=true", *variables):
        argv += ["-e", variable]
    words = [*argv, container, "/usr/bin/backup", "--", act]
    return passed_on(proc.run(words, timeout=300, check=False))


def docker(*words: str) -> str:
    """Ask docker."""
    return proc.run(["docker", *words], timeout=30).stdout.strip()


def environment(domain: str, recipe: Path) -> dict[str, str]:
    """Return the app's settings and the exports of `abra.sh`; neither is run as a program."""
    found = {"STACK_NAME": domain.replace(".", "_"), "DOMAIN": domain}
    script = recipe / "abra.sh"
    exports = script.read_text().splitlines() if script.is_file() else []
    lines = settings_of(domain).read_text().splitlines()
    for line in [*lines, *(one.removeprefix("export ") for one in exports if EXPORT.match(one))]:
        if match := ASSIGNMENT.fullmatch(line):
            value = match["single"]
            if value is None:
                bare = match["bare"] if match["double"] is None else match["double"]
                value = Template(bare).safe_substitute(found)
            found[match["key"]] = value
    return {**found, **os.environ}


def settings_of(domain: str) -> Path:
    """Return the file with an app's settings."""
    return HOME / "servers" / "default" / f"{domain}.env"


def recipe_of(domain: str) -> Path:
    """Return the checkout of an app's recipe."""
    lines = settings_of(domain).read_text().splitlines()
    kind = [line.partition("=")[2] for line in lines if line.startswith("TYPE=")][-1]
    return HOME / "recipes" / kind.strip("\"'").partition(":")[0]


def git(recipe: Path, *words: str) -> str:
    """Run git in a recipe."""
    return proc.run(["git", *words], timeout=30, cwd=recipe).stdout.strip()


def passed_on(done: proc.Completed) -> int:
    """Say what another program said, and return its exit code."""
    say(done.stdout + done.stderr)
    return done.code


def say(text: str) -> None:
    """Say something."""
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
