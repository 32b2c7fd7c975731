"""The harness reads a recipe out of git's objects, and no other file of this machine.

A thousand generated compose files with variables that steer, tags, aliases and odd types: whatever
becomes of them, no path is opened but those of the directory that the stack file is written into.
"""

import base64
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.core.errors import HarnessError
from harness.platforms import stackfile
from harness.platforms.base import Target
from harness.platforms.environment import AppEnvironment
from harness.platforms.override import Machine, build
from harness.recipes.files import Files

TARGET = Target(recipe="r", run="run1", scope="s", domain="made-1.test")
OUTSIDE = ["/etc/shadow", "../../etc/shadow", "./.git/config", ".GIT/config", "~/.ssh/id_rsa",
           "/proc/self/environ", "link", "d/../../x", "file:///etc/shadow", "//etc/shadow", ".", "",
           "/dev/stdin", "d/link2", "loop", "ok/../.git/HEAD", "\u202e/etc/passwd"]  # fmt: skip
INSIDE = st.sampled_from(["ok.env", "./d/../ok.env", "d//ok.txt", "${DOCKER_F:-ok.env}", "inside"])
STEERED = st.sampled_from(
    ["${DOCKER_F:-/etc/shadow}", "$HOME/.netrc", "${LD_X:-/etc/passwd}", "${PATH}", "$STACK_NAME",
     "${EVIL}", "$$EVIL", "${NOPE:?/etc/shadow}", "$DOCKER_F-/etc/shadow"]
)  # fmt: skip
WORDS = st.one_of(INSIDE, INSIDE, INSIDE, st.sampled_from(OUTSIDE), STEERED)
TAGS = st.sampled_from(["", "", "", "!!str ", "!reset ", "!!python/name:os.system ", "!!binary "])
SWITCHES = st.sampled_from(["true", "false", "false", "yes", "${EXT}", "{name: /etc/shadow}", "1"])


def scalar(word: str, tag: str) -> str:
    """Return a word as a quoted YAML scalar, under a tag."""
    text = base64.b64encode(word.encode()).decode() if "binary" in tag else word
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'{tag}"{quoted}"'


SCALARS = st.builds(scalar, WORDS, TAGS)
TEXTS = st.builds(
    """version: "3.8"
x-a: &l [{0}]
services:
  app:
    image: i
    env_file: {1}
    environment: [{0}, HOME, PATH=]
    configs: [c]
    secrets: [s]
    volumes: [{{type: bind, source: {2}, target: /x}}]
    extends: {{file: {0}, service: x}}
    build: {{context: {1}, dockerfile: {2}}}
    credential_spec: {{file: {0}}}
  other: {{image: i, env_file: *l, logging: {{driver: {0}, options: {{syslog-address: {2}}}}}}}
configs: {{c: {{file: {0}, external: {3}}}}}
secrets: {{s: {{file: {1}, external: {4}, driver: {0}}}}}
volumes: {{v: {{driver_opts: {{device: {0}, o: bind}}, external: {3}}}}}
""".format,
    SCALARS, SCALARS, SCALARS, SWITCHES, SWITCHES,
)  # fmt: skip
LINES = st.lists(
    st.builds(
        "{}={}".format,
        st.sampled_from(["DOCKER_F", "HOME", "EVIL", "EXT", "LD_X", "COMPOSE_FILE", "PATH"]),
        st.sampled_from(["/etc/shadow", "ok.env", "true", "false", "compose.yml:/etc/passwd",
                         "compose.yml:link", "compose.yml:../x.yml", "'$HOME'", "compose.yml"]),
    ),
    max_size=5,
)  # fmt: skip
DROPPED = ("extends", "build", "credential_spec", "logging", "driver", "env_file: *l")


class Held:
    """A commit whose files are texts, as git would answer for them."""

    def __init__(self, files: Mapping[str, str], links: Mapping[str, str]) -> None:
        self.files = {name: text.encode("utf-8", "replace") for name, text in files.items()}
        self.links = links
        self.ids = {f"{number:040x}": name for number, name in enumerate(self.files, start=1)}

    def __call__(self, arguments: Sequence[str], stdin: bytes) -> bytes:
        """Answer as `git cat-file` does."""
        batch = arguments == ("cat-file", "--batch")
        return b"".join(
            self._content(line) if batch else self._look(line.partition(":")[2])
            for line in stdin.decode().splitlines()
        )

    def _content(self, identity: str) -> bytes:
        content = self.files[self.ids[identity]]
        return f"{identity} blob {len(content)}\n".encode() + content + b"\n"

    def _look(self, path: str) -> bytes:
        if path in self.links:
            return f"symlink {len(self.links[path])}\n{self.links[path]}\n".encode()
        for identity, name in self.ids.items():
            if name == path:
                return f"{identity} blob {len(self.files[name])}\n".encode()
        return f"c:{path} missing\n".encode()


WATCHED = frozenset({"open", "os.listdir", "os.scandir", "subprocess.Popen"})
OPENED: list[str] = []
RENDERED: list[str] = []
WATCHING: list[bool] = []


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    """Note what is opened, while that is watched; a hook can never be taken off again."""
    if WATCHING and event in WATCHED:
        OPENED.append(str(arguments[0]))


sys.addaudithook(watch)


def render(compose_text: str, sample: Sequence[str], directory: Path) -> str:
    """Render a recipe of these files as the platform does, and return what was written."""
    files = {
        "compose.yml": compose_text, ".env.sample": "\n".join(["TYPE=r", *sample]) + "\n",
        "ok.env": "A=1\n", "d/ok.txt": "ok", "inside": "A=1\n",
        "abra.sh": "export EVIL=/etc/shadow\n",
    }  # fmt: skip
    links = {"link": "/etc/shadow", "d/link2": "../../x", "loop": "/loop"}
    held = Files(commit="c" * 40, objects=Held(files, links))
    compose = AppEnvironment.of(held, TARGET).compose(held)
    override, _ = build(compose, TARGET, None, Machine(dnsrr=False))
    return stackfile.write(compose, override, directory / "stack").read_text()


@given(text=TEXTS, without=st.sets(st.sampled_from(DROPPED), min_size=3), sample=LINES)
@settings(
    max_examples=1000, deadline=None, database=None, derandomize=True,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
def no_path_outside_is_opened(text: str, without: set[str], sample: list[str]) -> None:
    """Each file that docker is told of lies in the directory of the stack file."""
    lines = [line for line in text.splitlines() if not any(word in line for word in without)]
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        OPENED.clear()
        WATCHING.append(True)
        try:
            stack = render("\n".join(lines), sample, directory)
        except HarnessError:
            stack = ""
        finally:
            WATCHING.clear()
        assert [one for one in OPENED if not one.startswith(name)] == []
        if stack:
            RENDERED.append(stack)
            document = yaml.safe_load(stack)
            sections = [*document["configs"].values(), *document["secrets"].values()]
            for path in (Path(one["file"]) for one in sections if "file" in one):
                assert path.parent == directory / "stack"
                assert path.read_bytes() in (b"A=1\n", b"ok")
            assert "env_file" not in stack


def test_no_path_outside_the_recipe_is_ever_opened() -> None:
    """Of the thousand, some are rendered, too: else nothing would be shown."""
    no_path_outside_is_opened()
    assert len([one for one in RENDERED if '"file": ' in one]) > 10
