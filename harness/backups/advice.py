"""What an operator would regret in the backup labels of a recipe: pure, from its labels alone.

None of this fails a run: each is a warning that stands beside the verdict.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from harness.backups.labels import ENABLED, KNOWN, OLD_PATH, VOLUME, Hooks, is_enabled
from harness.core.model import RunWarning, WarningCode
from harness.core.nearest import nearest

SPECIFICATION = "see docs/enroll-recipe.md, 'Backup labels'"
PREFIX = "backupbot."
FALSE_OR_TRUE = ("false", "true")


def advise(
    services: Mapping[str, Mapping[str, str]], containers: Mapping[str, Mapping[str, str]]
) -> tuple[RunWarning, ...]:
    """Return the warnings that the labels of a stack's services cause.

    Args:
        services: the labels under `deploy` of each service, by its name.
        containers: its labels outside `deploy`, which are those of its containers.
    """
    found = [*_outside(containers), *_values(services), *_paths(services), *_unknown(services)]
    on = [name for name, labels in services.items() if is_enabled(labels)]
    if not on:
        return (*found, *_never_on(services))
    if len(on) > 1:
        found.append(
            RunWarning(
                code=WarningCode.BACKUP_LABEL_TWICE,
                text=f"{ENABLED}=true is on {len(on)} services: {', '.join(on)}",
                next="keep it on one, the main service: it turns on the backup of the whole stack",
            )
        )
    return (*found, *_left_on(services), *_contradictions(services), *_unpaired(services))


def _left_on(services: Mapping[str, Mapping[str, str]]) -> Iterator[RunWarning]:
    """Warn of a service that says `false` in a stack whose backup is on: it leaves nothing out."""
    for service, labels in services.items():
        if _lower(labels.get(ENABLED, "")) == "false":
            yield RunWarning(
                code=WarningCode.BACKUP_LABEL_TWICE,
                text=f"service {service}: {ENABLED}=false leaves nothing out: another service "
                "turns the backup of the whole stack on",
                next=f"remove it; leave a volume out with {VOLUME}NAME=false",
            )


def _outside(containers: Mapping[str, Mapping[str, str]]) -> Iterator[RunWarning]:
    for service, labels in containers.items():
        if named := [label for label in labels if label.startswith(PREFIX)]:
            yield RunWarning(
                code=WarningCode.BACKUP_NOT_ENABLED,
                text=f"service {service}: {', '.join(named)} outside deploy: labels of a container "
                "back up nothing",
                next="move them to deploy.labels",
            )


def _values(services: Mapping[str, Mapping[str, str]]) -> Iterator[RunWarning]:
    for service, labels in services.items():
        for label, value in labels.items():
            a_switch = label == ENABLED or _is_volume_switch(label)
            if not a_switch or _lower(value) in FALSE_OR_TRUE:
                continue
            means = "nothing is turned on by it" if label == ENABLED else "the volume is backed up"
            yield RunWarning(
                code=WarningCode.BACKUP_VALUE_UNKNOWN,
                text=f"service {service}: {label}={value or '(empty)'} is neither true nor false; "
                f"{means}",
                next="write true or false",
            )


def _paths(services: Mapping[str, Mapping[str, str]]) -> Iterator[RunWarning]:
    """Warn of a list of paths with an empty item, as where a variable is not set."""
    for service, labels in services.items():
        for label, value in labels.items():
            lists = label == OLD_PATH or (label.startswith(VOLUME) and label.endswith(".path"))
            if lists and not all(path.strip() for path in value.split(",")):
                whole = not value.strip(", ")
                yield RunWarning(
                    code=WarningCode.BACKUP_VALUE_UNKNOWN,
                    text=f"service {service}: {label}={value or '(empty)'} has an empty item; "
                    + ("all of the volume is backed up" if whole else "it names nothing"),
                    next="name a path, or remove it; `.` is all of the volume",
                )


def _is_volume_switch(label: str) -> bool:
    return label.startswith(VOLUME) and not label.endswith(".path")


def _unknown(services: Mapping[str, Mapping[str, str]]) -> Iterator[RunWarning]:
    for service, labels in services.items():
        for label in labels:
            if not label.startswith(PREFIX) or label in KNOWN or label.startswith(VOLUME):
                continue
            yield RunWarning(
                code=WarningCode.BACKUP_LABEL_UNKNOWN,
                text=f"service {service}: unknown label {label}",
                next=nearest(label, KNOWN, most=1, otherwise=SPECIFICATION, cutoff=0.75),
            )


def _never_on(services: Mapping[str, Mapping[str, str]]) -> Iterator[RunWarning]:
    """Warn of backup labels without the one that turns the backup on; `false` is a decision."""
    named = [s for s, labels in services.items() if any(one.startswith(PREFIX) for one in labels)]
    if named and not any(ENABLED in labels for labels in services.values()):
        yield RunWarning(
            code=WarningCode.BACKUP_NOT_ENABLED,
            text=f"{_of(named)} backup labels, but no service has {ENABLED}=true: "
            "nothing is backed up, and no hook runs",
            next=f"add {ENABLED}=true to the main service, under deploy.labels",
        )


def _of(names: list[str]) -> str:
    return f"service {names[0]} has" if len(names) == 1 else f"services {', '.join(names)} have"


def _contradictions(services: Mapping[str, Mapping[str, str]]) -> Iterator[RunWarning]:
    """Warn of a volume that one label leaves out and another one backs up."""
    given = [(s, label, value) for s, labels in services.items() for label, value in labels.items()]
    out = {
        label for _, label, value in given if _is_volume_switch(label) and _lower(value) == "false"
    }
    for left_out in sorted(out):
        others = [
            f"{service}: {label}={value}"
            for service, label, value in given
            if label in (left_out, f"{left_out}.path") and _lower(value) not in ("", "false")
        ]
        if others:
            yield RunWarning(
                code=WarningCode.BACKUP_LABEL_TWICE,
                text=f"{left_out}=false leaves the volume out, against {', '.join(others)}",
                next="remove one of them",
            )


def _lower(value: str) -> str:
    return value.strip().lower()


def _unpaired(services: Mapping[str, Mapping[str, str]]) -> Iterator[RunWarning]:
    for service, labels in services.items():
        hooks = Hooks.of(service, labels)
        if hooks.has("backup") and not hooks.has("restore"):
            yield RunWarning(
                code=WarningCode.NO_RESTORE_HOOK,
                text=f"service {service} has a backup hook and no restore hook: "
                "if the hook writes a dump, nothing loads it after a restore",
                next="add backupbot.restore.post-hook, which loads what the backup hook wrote",
            )
