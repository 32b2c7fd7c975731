"""A Swarm's configs in memory: unique names, new ids, and updates by compare-and-swap."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from harness.swarm.configs import Config


@dataclass
class FakeConfigs:
    """What the managers keep; `before` is called with each call's name, and may do anything.

    The log has one counter for everything, so no version and no id ever comes back.
    """

    there: dict[str, Config] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    before: Callable[[str], None] = field(default=lambda _: None)
    _index: int = 0

    def find(self, key: str) -> Config | None:
        """Return the config of that id or name, or None."""
        self._call("find")
        return next((c for c in self.there.values() if key in (c.id, c.name)), None)

    def with_label(self, label: str) -> tuple[Config, ...]:
        """Return every config with that label."""
        self._call("with_label")
        return tuple(config for config in self.there.values() if label in config.labels)

    def create(self, name: str, labels: Mapping[str, str]) -> str:
        """Make a config and return its id, or "" when there is one of that name."""
        self._call("create")
        if any(config.name == name for config in self.there.values()):
            return ""
        self._index += 1
        made = Config(id=f"id{self._index}", name=name, version=self._index, labels=dict(labels))
        self.there[made.id] = made
        return made.id

    def update(self, config: Config, labels: Mapping[str, str]) -> bool:
        """Replace the labels; False when it was changed since that look, or is gone."""
        self._call("update")
        now = self.there.get(config.id)
        if now is None or now.version != config.version:
            return False
        self._index += 1
        self.there[config.id] = replace(now, version=self._index, labels=dict(labels))
        return True

    def remove(self, identity: str) -> bool:
        """Remove the config of that id; False when there is none."""
        self._call("remove")
        return self.there.pop(identity, None) is not None

    def _call(self, name: str) -> None:
        self.calls.append(name)
        self.before(name)
