"""Nothing of ours is at the app's volumes or on its network while the app may be replaced."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import docker
from docker.errors import NotFound

from harness.swarm.own_networks import own_name
from tests.integration.conftest import Harness
from tests.integration.support import RecipeRepo, recipe_files

SERVICE = "com.docker.swarm.service.name"
# It says that it has started only once its first health check ran, which is after the engine has
# told of the start: else a start may be told of when the hook that waited for it has long ended.
STARTED = "/tmp/started"  # noqa: S108  in a container
SIDE = f"""\
  side:
    image: nginx:1.27.4
    networks: [proxy]
    volumes: ["content:/srv"]
    command: ["sh", "-c", "until test -e {STARTED}; do sleep 0.1; done; rm -f /srv/go;
      until test -e /srv/go; do sleep 0.2; done"]
    healthcheck: {{test: ["CMD", "touch", "{STARTED}"], interval: 1s}}
    stop_grace_period: 1s
    deploy: {{restart_policy: {{condition: any, delay: 0s}}}}
"""
NETWORKS = "networks:\n  proxy: {external: true}\n"
ENABLED = '        - "backupbot.backup=true"'
GO = "/usr/share/nginx/html/go"
HOOK = f"touch {GO}; while test -e {GO}; do sleep 0.2; done"  # until the side has been replaced
HOOKS = "\n".join(
    f'        - "backupbot.{op}.{when}-hook={HOOK}"'
    for op in ("backup", "restore")
    for when in ("pre", "post")
)


@dataclass
class Watcher:
    """What the engine told of one run: when each container of the harness was where.

    Args:
        client: a client of the engine.
        stack: the stack's name.
    """

    client: docker.DockerClient
    stack: str
    seen: list[Mapping[str, Any]] = field(default_factory=list)
    mounts: dict[str, set[str]] = field(default_factory=dict)  # of our containers, by id

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Listen to the engine for the length of the block."""
        stream = self.client.events(decode=True)
        thread = threading.Thread(target=self._listen, args=(stream,))
        thread.start()
        try:
            yield
        finally:
            stream.close()
            thread.join(timeout=30)

    def _listen(self, stream: Iterator[Mapping[str, Any]]) -> None:
        for event in stream:
            if event["Type"] not in ("container", "network"):
                continue
            self.seen.append(event)
            attributes, identity = event["Actor"]["Attributes"], event["Actor"]["ID"]
            ours = event["Type"] == "container" and "ccci.role" in attributes
            if ours and event["Action"] == "create" and attributes["ccci.stack"] == self.stack:
                try:
                    mounts = self.client.api.inspect_container(identity)["Mounts"]
                except NotFound:
                    continue
                self.mounts[identity] = {mount["Name"] for mount in mounts}

    def present(self) -> list[tuple[str, float, float]]:
        """Return what of ours was at a volume of the app or on a network, from when to when."""
        own = f"{self.stack}_ccci-repository"
        at_volumes = {one for one, names in self.mounts.items() if names - {own}}
        began: dict[str, float] = {}
        found = []
        for event in self.seen:
            at, action, actor = event["timeNano"] / 1e9, event["Action"], event["Actor"]
            if event["Type"] == "container":
                what, there = f"volumes of {actor['ID']}", actor["ID"] in at_volumes
                first, last = "start", "die"
            else:
                container = actor["Attributes"].get("container", "")
                what = f"{actor['Attributes']['name']} of {container}"
                there = container in self.mounts and actor["Attributes"]["name"] != "none"
                first, last = "connect", "disconnect"
            if there and action == first:
                began[what] = at
            elif there and action == last and what in began:
                found.append((what, began.pop(what), at))
        return found + [(what, at, float("inf")) for what, at in began.items()]

    def replacements(self) -> list[float]:
        """Return when a container of the app was started or ended."""
        return [
            event["timeNano"] / 1e9
            for event in self.seen
            if event["Type"] == "container"
            and event["Action"] in ("start", "die")
            and event["Actor"]["Attributes"].get(SERVICE, "").startswith(f"{self.stack}_")
        ]


def spans(ledger: Path) -> list[tuple[str, float, float]]:
    """Return what was deployed or restarted, from when to when."""
    entries = [json.loads(line) for line in ledger.read_text().splitlines()]
    begun, found = {}, []
    for entry in entries:
        at = datetime.fromisoformat(entry["at"]).timestamp()
        if entry["event"] == "begin":
            begun[entry["op"]] = at
        elif entry["event"] == "end" and entry["op"] in ("deploy", "redeploy", "restart"):
            found.append((entry["op"], begun[entry["op"]], at))
    return found


def test_nothing_of_ours_is_there_while_the_app_may_be_replaced(
    harness: Harness, client: docker.DockerClient, tmp_path: Path
) -> None:
    """In a whole run, with hooks that each wait until one of the app's containers was replaced.

    The engine is asked: neither a deploy nor any start or end of one of the app's containers falls
    into a moment in which a container of the harness has a volume of the app, or is on a network.
    """
    repo = RecipeRepo.make(tmp_path / "made")
    changes = {NETWORKS: f"{SIDE}{NETWORKS}", ENABLED: f"{ENABLED}\n{HOOKS}"}
    repo.commit(recipe_files("1.0.0+1", **changes), tag="1.0.0+1")
    repo.commit(recipe_files("1.1.0+1", **changes, **{"interval: 1s": "interval: 2s"}))
    watcher = Watcher(client=client, stack="watched-observer_test")
    with watcher.watching():
        call = harness(str(repo.path), "--domain", "watched-observer.test")
    assert call.code == 0, call.text
    assert call.directory is not None
    deployed = spans(call.directory / "ledger.jsonl")
    assert [op for op, *_ in deployed] == ["deploy", "redeploy", "restart"]
    present, replaced = watcher.present(), watcher.replacements()
    last_join = max(at for _, at, _ in present)  # everything is removed while the reader is there
    before = [at for at in replaced if at < last_join]
    assert len(before) >= 2 + 2 + 4 * 2, "starts, an upgrade of the app, and four hooks"
    networks = {what.partition(" ")[0] for what, *_ in present}
    assert networks == {"volumes", own_name(watcher.stack)}
    for what, began, ended in present:
        assert not [at for at in before if began < at < ended], what
        for op, first, last in deployed:
            assert ended < first or last < began, f"{what} during the {op}"
