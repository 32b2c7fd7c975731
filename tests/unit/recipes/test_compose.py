"""Compose files as data. What is expected of the merge was measured against the Docker client."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from harness.core.errors import InvalidRecipeError, RefusedError
from harness.recipes import compose, yamlfile
from harness.recipes.compose import Compose
from harness.recipes.compose_fields import Mount, Port
from tests.unit.committed import committed

Load = Callable[..., Compose]
ENV = {"STACK_NAME": "st_x", "SET": "value", "EMPTY": "", "lower": "low"}


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """A function that writes compose files, the first one as compose.yml, and loads them all."""

    def write_and_load(*texts: str, env: dict[str, str] | None = None) -> Compose:
        names = ["compose.yml", *(f"compose.{number}.yml" for number in range(2, 9))]
        for name, text in zip(names, texts, strict=False):
            (tmp_path / name).write_text(text)
        return compose.load(
            committed(tmp_path), ":".join(names[: len(texts)]), ENV if env is None else env
        )

    return write_and_load


FULL = """
version: "3.8"
x-common: &common
  image: "common:${SET}"
services:
  app:
    <<: *common
    networks: [proxy, internal]
    secrets:
      - password
      - source: key
        target: /key
    configs:
      - source: conf
        target: /conf
        mode: 0444
    labels:
      - "container.${SET}=1"
      - bare
    ports:
      - "80:8080"
      - 9000
      - "127.0.0.1:53:53/udp"
      - "7000-7001:8000-8001"
      - target: 443
        published: 8443
        protocol: tcp
        mode: host
    volumes:
      - data:/data
      - conf-files:/etc/app:ro,z
      - ./local:/local
      - /var/run/x.sock:/x.sock:ro
      - /anonymous
      - type: volume
        source: data
        target: /again
        read_only: true
      - type: tmpfs
        target: /tmp
    healthcheck:
      test: ["CMD", "true"]
    deploy:
      endpoint_mode: dnsrr
      labels:
        backupbot.backup: "${ENABLE_BACKUPS:-true}"
        number: 8
        float: 1.10
        whole: 2.0
        word: yes
        octal: 010
        nothing:
        flag: true
        "key.${SET}": "x"
  db:
    image: postgres:15
    networks:
      internal:
        aliases: [database]
    deploy:
      labels: ["coop-cloud.${STACK_NAME}.version=1.0.0+15", "a=b=c"]
networks:
  proxy: {external: true}
  internal:
volumes:
  data:
  conf-files: {name: "named-${SET}"}
  outside: {external: true}
  older: {external: {name: old-name}}
secrets:
  password:
    external: true
    name: ${STACK_NAME}_password_v1
  key: {file: ./key.txt}
configs:
  conf:
    name: ${STACK_NAME}_conf_v2
    file: conf.tmpl
    template_driver: golang
"""


def test_a_service_in_full(load: Load) -> None:
    """Every field of a service is read, in the long and in the short syntax."""
    app = load(FULL).services["app"]
    assert app.image == "common:value"
    assert app.networks == ("proxy", "internal")
    assert app.secrets == ("password", "key")
    assert app.configs == ("conf",)
    assert app.endpoint_mode == "dnsrr"
    assert app.healthcheck
    assert app.container_labels == {"container.value": "1", "bare": ""}
    assert app.mounts == (
        Mount(kind="volume", source="data", target="/data"),
        Mount(kind="volume", source="conf-files", target="/etc/app", read_only=True),
        Mount(kind="bind", source="./local", target="/local"),
        Mount(kind="bind", source="/var/run/x.sock", target="/x.sock", read_only=True),
        Mount(kind="volume", source="", target="/anonymous"),
        Mount(kind="volume", source="data", target="/again", read_only=True),
        Mount(kind="tmpfs", source="", target="/tmp"),  # noqa: S108  a path in a container
    )
    assert app.ports == (
        Port(target="8080", published="80"),
        Port(target="9000"),
        Port(target="53", published="53", protocol="udp"),
        Port(target="8000", published="7000"),
        Port(target="8001", published="7001"),
        Port(target="443", published="8443", mode="host"),
    )


def test_labels_are_texts_as_docker_makes_them(load: Load) -> None:
    """Values become texts, `yes` stays one, and variables are filled in, but never in keys."""
    stack = load(FULL)
    assert stack.services["app"].labels == {
        "backupbot.backup": "true",
        "number": "8",
        "float": "1.1",
        "whole": "2",
        "word": "yes",
        "octal": "8",
        "nothing": "",
        "flag": "true",
        "key.${SET}": "x",
    }
    assert stack.services["db"].labels == {
        "coop-cloud.st_x.version": "1.0.0+15",
        "a": "b=c",
    }


def test_a_label_outside_deploy_is_another_kind(load: Load) -> None:
    """A label outside `deploy` backs nothing up, so the two are never mixed."""
    text = "services: {app: {image: x, labels: {backupbot.backup: 'true'}}}"
    app = load(text).services["app"]
    assert app.labels == {}
    assert app.container_labels == {"backupbot.backup": "true"}


def test_a_service_with_little(load: Load) -> None:
    """What is not said has Docker's defaults."""
    app = load("services: {app: {image: x}}").services["app"]
    assert app.networks == ("default",)
    assert app.endpoint_mode == "vip"
    assert (app.mounts, app.ports, app.healthcheck) == ((), (), False)


@pytest.mark.parametrize(
    ("check", "has"),
    [
        ("{test: [CMD, x]}", True),
        ("{interval: 1s}", True),
        ("{test: [NONE]}", False),
        ("{disable: true}", False),
        ("{disable: '${OFF:-true}'}", False),
    ],
)
def test_a_health_check_can_be_switched_off(load: Load, check: str, has: bool) -> None:  # noqa: FBT001  a table
    """A health check that is disabled is none."""
    stack = load(f"services: {{app: {{image: x, healthcheck: {check}}}}}")
    assert stack.services["app"].healthcheck is has


def test_full_names(load: Load) -> None:
    """A name is the explicit one; else external things keep their key, others get the stack's."""
    stack = load(FULL)
    names = {
        resource.key: resource.full_name("st_x")
        for section in (stack.volumes, stack.networks, stack.secrets, stack.configs)
        for resource in section.values()
    }
    assert names == {
        "data": "st_x_data",
        "conf-files": "named-value",
        "outside": "outside",
        "older": "old-name",
        "proxy": "proxy",
        "internal": "st_x_internal",
        "password": "st_x_password_v1",
        "key": "st_x_key",
        "conf": "st_x_conf_v2",
    }
    external = {key for key, resource in stack.volumes.items() if resource.external}
    assert external == {"outside", "older"}
    assert stack.networks["proxy"].external
    assert stack.secrets["password"].external
    assert (stack.secrets["key"].file, stack.configs["conf"].file) == ("./key.txt", "conf.tmpl")
    assert stack.images() == ("common:value", "postgres:15")


def test_names_that_swarm_refuses(load: Load) -> None:
    """A secret's or config's name may have 64 characters, and no more."""
    text = "services: {a: {image: x}}\nsecrets: {%s: {file: f}}\nconfigs: {%s: {file: f}}"
    assert load(text % ("s" * 59, "c" * 59)).names_too_long("1234") == ()
    assert load(text % ("s" * 60, "c" * 59)).names_too_long("1234") == ("1234_" + "s" * 60,)
    assert load(text % ("s" * 59, "c" * 60)).names_too_long("1234") == ("1234_" + "c" * 60,)


def test_files_of_configs_stay_inside_the_recipe(load: Load, tmp_path: Path) -> None:
    """A recipe must not carry a file of this machine into a container, nor name one it lacks."""
    (tmp_path / "there").touch()
    (tmp_path / "link").symlink_to("/etc/hostname")
    stack = load(
        "services: {a: {image: x}}\n"
        "secrets: {a: {file: ../outside}, b: {file: /etc/hostname}, c: {file: link}}\n"
        "configs: {d: {file: ./there}, e: {file: missing}, f: {external: true}}\n"
    )
    assert stack.bad_files() == ("../outside", "/etc/hostname", "link", "missing")


def test_files_are_merged_as_docker_merges_them(load: Load) -> None:
    """Scalars win, labels and networks join, mounts go by target, ports by published port."""
    stack = load(
        """
services:
  app:
    image: one
    networks: [front]
    secrets: [s]
    volumes: ["data:/data", "data:/kept"]
    ports: ["80:1", "81:1", "90"]
    labels: [a=1]
    healthcheck: {test: [CMD, x]}
    deploy: {endpoint_mode: dnsrr, labels: [a=1, b=1]}
networks: {front: {external: true}}
volumes: {data: {external: true, name: first}}
secrets: {s: {file: f}}
""",
        """
services:
  app:
    image: two
    networks: {back: null}
    secrets: [{source: s, target: t}, z]
    volumes: ["other:/data"]
    ports: ["80:2", "91"]
    deploy: {labels: {b: 2, c: 2}}
  extra: {image: three}
networks: {back: null}
volumes: {other: null, data: {name: second}}
secrets: {z: {file: f}}
""",
        "services: {app: {healthcheck: {disable: true}}}",
    )
    app = stack.services["app"]
    assert list(stack.services) == ["app", "extra"]
    assert app.image == "two"
    assert app.endpoint_mode == "dnsrr"
    assert app.labels == {"a": "1", "b": "2", "c": "2"}
    assert app.container_labels == {"a": "1"}
    assert app.networks == ("front", "back")
    assert app.secrets == ("s", "z")
    assert [(mount.source, mount.target) for mount in app.mounts] == [
        ("other", "/data"),
        ("data", "/kept"),
    ]
    # Docker keeps one port of those whose number the engine chooses, where it merges.
    assert [(port.published, port.target) for port in app.ports] == [
        ("", "91"),
        ("80", "2"),
        ("81", "1"),
    ]
    assert not app.healthcheck
    assert (stack.volumes["data"].name, stack.volumes["data"].external) == ("second", False)
    assert stack.files == ("compose.yml", "compose.2.yml", "compose.3.yml")


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("$SET", "value"),
        ("${SET}", "value"),
        ("a${SET}b$EMPTY", "avalueb"),
        ("$lower", "low"),
        ("$NOPE.", "."),
        ("${NOPE:-d e}", "d e"),
        ("${NOPE-d}", "d"),
        ("${EMPTY:-d}", "d"),
        ("${EMPTY-d}", ""),
        ("${NOPE:-}", ""),
        ("${NOPE:-a:b-c?d}", "a:b-c?d"),
        ("${NOPE:-$SET}", "$SET"),
        ("${SET:?needed}", "value"),
        ("${EMPTY?needed}", ""),
        ("$$SET $${SET} $$", "$SET ${SET} $"),
    ],
)
def test_variables_are_filled_in(load: Load, text: str, filled: str) -> None:
    """The syntax is the Docker client's: no nesting, and two dollar signs are one."""
    stack = load(f"services: {{app: {{image: x, labels: {{a: '{text}'}}}}}}")
    assert stack.services["app"].container_labels["a"] == filled


@pytest.mark.parametrize("text", ["$", "a $ b", "$1", "${", "${SET", "${1}", "${SET!}", "${}"])
def test_a_dollar_sign_that_means_nothing(load: Load, text: str) -> None:
    """The Docker client refuses it, so the recipe is invalid; the place and the text are shown."""
    with pytest.raises(InvalidRecipeError, match=r"services\.app\.labels\.a") as caught:
        load(f"services: {{app: {{image: x, labels: {{a: '{text}'}}}}}}")
    assert caught.value.detail == text
    assert "$$" in caught.value.hint


@pytest.mark.parametrize("text", ["${NOPE?say why}", "${NOPE:?say why}", "${EMPTY:?say why}"])
def test_a_required_variable(load: Load, text: str) -> None:
    """A variable that is required and has no value makes the recipe invalid, in its own words."""
    with pytest.raises(InvalidRecipeError, match="is required and not set") as caught:
        load(f"services: {{app: {{image: '{text}'}}}}")
    assert caught.value.cause == "say why"


def test_variables_without_a_value_are_remembered(load: Load) -> None:
    """A variable that silently became nothing is known; one with a default is not among them."""
    stack = load("services: {app: {image: 'x${NOPE}${D:-d}', labels: ['a=$OTHER', '$EMPTY']}}")
    assert stack.unset == {"NOPE", "OTHER"}


def test_extension_fields_are_filled_in_too(load: Load) -> None:
    """Docker fills in whatever the file holds, so a stray dollar sign is refused there as well."""
    assert load("x-a: {b: '$NOPE'}\nservices: {app: {image: x}}").unset == {"NOPE"}
    with pytest.raises(InvalidRecipeError, match=r"in x-a, a '\$' stands"):
        load("x-a: '$ ${'\nservices: {app: {image: x}}")


@pytest.mark.parametrize(
    ("text", "filled"),
    [("$SET-x", "value"), ("$NOPE-x y", "x y"), ("${NOPE:?say-why}", "why"), ("$NOPE:-a}b", "a}b")],
)
def test_docker_sees_a_default_where_nobody_meant_one(load: Load, text: str, filled: str) -> None:
    """Measured: a default needs no braces, and a minus in a message makes it one."""
    stack = load(f"services: {{app: {{image: x, labels: {{a: '{text}'}}}}}}")
    assert stack.services["app"].container_labels["a"] == filled


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("read_only", "${NOPE:-yes}", True),
        ("read_only", "yes", "yes"),
        ("stdin_open", "$$", None),
        ("oom_score_adj", "${NOPE:-5}", 5),
        ("oom_score_adj", "${NOPE:-5.5}", None),
        ("hostname", "${NOPE:-5}", "5"),
    ],
)
def test_what_is_filled_in_becomes_what_its_place_wants(
    load: Load, field: str, text: str, value: object
) -> None:
    """As docker casts it; what was written as it is stays, for docker to judge."""
    files = f"services: {{app: {{image: x, {field}: '{text}'}}}}"
    if value is None:
        with pytest.raises(InvalidRecipeError, match=f"services.app.{field} is"):
            load(files)
    else:
        assert load(files).services["app"].raw[field] == value


def test_definitions_are_kept_whole_and_replaced_whole(load: Load) -> None:
    """What stands under a name is there in full, filled in, and is the last file's alone."""
    stack = load(
        "version: '3.8'\nservices: {app: {image: x}}\n"
        "volumes: {v: {driver: d, labels: {a: '$SET'}}, w: {driver: d, external: false}}\n",
        "version: '3.8'\nvolumes: {w: {name: n}}\n",
    )
    assert stack.volumes["v"].definition == {"driver": "d", "labels": {"a": "value"}}
    assert (stack.volumes["w"].name, stack.volumes["w"].definition) == ("n", {})
    assert stack.version == "3.8"
    assert load("services: {app: {image: x}}").version == ""


def test_the_env_file_picks_the_files(tmp_path: Path) -> None:
    """An empty COMPOSE_FILE means compose.yml; empty parts between colons mean nothing."""
    (tmp_path / "compose.yml").write_text("services: {a: {image: x}}")
    (tmp_path / "b.yml").write_text("services: {b: {image: y}}")
    assert list(compose.load(committed(tmp_path), "", {}).services) == ["a"]
    assert list(compose.load(committed(tmp_path), "compose.yml::b.yml:", {}).services) == ["a", "b"]


@pytest.mark.parametrize("value", ["compose.yml", "missing.yml", "", "../x.yml", "/etc/hostname"])
def test_a_compose_file_that_is_not_there(tmp_path: Path, value: str) -> None:
    """A missing file, or one outside the recipe, is named, with what to do."""
    (tmp_path / "recipe").mkdir()
    (tmp_path / "x.yml").write_text("services: {a: {image: x}}")
    with pytest.raises((InvalidRecipeError, RefusedError)) as caught:
        compose.load(committed(tmp_path / "recipe"), value, {})
    assert isinstance(caught.value, RefusedError) == ("/" in value)
    assert (value or "compose.yml") in caught.value.what
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "where", "line"),
    [
        ("services:\n  app:\n   image: x\n  bad: [\n", "line 5, column 1", ""),
        ("services:\n  app: {image: x}\n bad\n", "line 3, column 2", " bad"),
        ("services:\n\tapp: x\n", "line 2, column 1", "\tapp: x"),
        ("a: 1\nservices: {a: {image: x,\n image: y}}\n", "line 3, column 2", " image: y}}"),
        ("services: &a\n  b: *nope\n", "line 2, column 6", "  b: *nope"),
        ("services: {a: {image: !!bool x}}\n", "line 1, column 23", None),
    ],
)
def test_yaml_that_does_not_parse(load: Load, text: str, where: str, line: str | None) -> None:
    """File, line and column are named and the line is shown; keys that occur twice are refused."""
    with pytest.raises(InvalidRecipeError) as caught:
        load(text)
    assert f"compose.yml, {where}: " in caught.value.what
    assert caught.value.detail == (text.strip() if line is None else line)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not a mapping at its top level"),
        ("- a\n", "not a mapping at its top level"),
        ("just words", "not a mapping at its top level"),
        ("version: '3.8'", "define no services"),
        ("services: {}", "define no services"),
        ("services:", "services is empty"),
        ("services: {app: }", "services.app is empty"),
        ("services: {'a b': {image: x}}", "'a b' cannot be a name under services"),
        ("services: {app: {image: x}}\nnetworks: {'a b': {External: true, Name: host}}", "'a b'"),
        ("services: {app: {image: x, imgae: y}}", "did you mean image?"),
        ("services: {app: {image: x}}\nnetworks: {n: {External: true}}", "the option 'External'"),
        ("services: {app: {image: x}}\nfoo: bar", "the option 'foo'"),
        ("version: 3.8\nservices: {app: {image: x}}", "version 3.8 as a number"),
        ("services: []", "compose.yml: services is a list, not a mapping"),
        ("services: {app: x}", "compose.yml: services.app is 'x', not a mapping"),
        ("services: {app: {}}", "the service 'app' has no image"),
        ("services: {app: {image: '$NOPE'}}", "the service 'app' has no image"),
        ("services: {app: {image: x, volumes: {a: b}}}", "volumes is a mapping, not a list"),
        ("services: {app: {image: x, volumes: ['ab:']}}", "'ab:' is not a mount"),
        ("services: {app: {image: x, volumes: [{source: a}]}}", "has no 'target'"),
        ("services: {app: {image: x, ports: ['a:80']}}", "'a:80' is not a port"),
        ("services: {app: {image: x, ports: ['80-:80']}}", "'80-:80' is not a port"),
        ("services: {app: {image: x, ports: ['80-81:80-82']}}", "'80-81:80-82' is not a port"),
        ("services: {app: {image: x}}\nvolumes: {v: {name: ../containers/x}}", "take the '/' out"),
        ("services: {app: {image: x, deploy: {labels: x}}}", "deploy.labels is 'x'"),
        ("services: {app: {image: x}}\nvolumes: {a: {external: perhaps}}", "external is 'perhaps'"),
        ("services: {app: {image: x, volumes: ['ab:/a']}}", "uses 'ab', which is not declared"),
        ("services: {app: {image: x, networks: [a]}}", "under 'networks:'"),
        ("services: {app: {image: x, secrets: [a]}}", "under 'secrets:'"),
        ("services: {app: {image: x, configs: [a]}}", "under 'configs:'"),
        ("a: &a [*a]\nservices: {app: {image: x, labels: *a}}", "contains itself"),
    ],
)
def test_files_of_the_wrong_shape(load: Load, text: str, said: str) -> None:
    """What cannot be deployed is said to be so, with the place and what to do about it."""
    with pytest.raises(InvalidRecipeError) as caught:
        load(text)
    assert said in str(caught.value)
    assert caught.value.hint


def test_aliases_that_multiply_are_refused(load: Load) -> None:
    """A small file that unfolds into millions of values is refused, not unfolded."""
    lines = ["x0: &x0 [a, a, a, a, a, a, a, a, a]"]
    lines += [f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]" for n in range(1, 9)]
    text = "\n".join([*lines, "services: {app: {image: x, command: *x8}}"])
    with pytest.raises(InvalidRecipeError, match="too many values"):
        load(text)


def test_merges_do_not_multiply(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nine merges of nine merges hold each key once, where older parsers hold it 9^n times."""
    nodes: list[yaml.MappingNode] = []
    monkeypatch.setattr("harness.recipes.yamlfile._refuse_twice", nodes.append)
    lines = ["x0: &x0 {a: 1, b: 2, c: 3}"]
    lines += [f"x{n}: &x{n} {{<<: [{', '.join([f'*x{n - 1}'] * 9)}]}}" for n in range(1, 6)]
    path = tmp_path / "compose.yml"
    path.write_text("\n".join(lines))
    assert yamlfile.load(committed(tmp_path), path.name) == {
        f"x{n}": {"a": 1, "b": 2, "c": 3} for n in range(6)
    }
    assert len(nodes) == 7, "each mapping is looked at once"


def test_merges_that_override_are_fine(load: Load) -> None:
    """A mapping may override what it merges, and be merged again, and again."""
    stack = load(
        "x-a: &a {image: one, deploy: {endpoint_mode: dnsrr}}\n"
        "x-b: &b {<<: *a, image: two}\n"
        "services: {c: {<<: *b}, d: {<<: [*b, *a]}, e: {<<: *b, image: three}, f: *b}\n"
    )
    assert [one.image for one in stack.services.values()] == ["two", "two", "three", "two"]
    assert {one.endpoint_mode for one in stack.services.values()} == {"dnsrr"}


def test_a_file_that_is_far_too_large(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file beyond any recipe's size is not parsed at all."""
    monkeypatch.setattr(yamlfile, "parse", None)
    with pytest.raises(
        InvalidRecipeError, match=f"more than the limit of {yamlfile.LARGEST_BYTES}"
    ):
        load("services: {app: {image: x}}" + " " * yamlfile.LARGEST_BYTES)


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("../outside.env", "leads out of the recipe, to ../outside.env"),
        ("/etc/hostname", "leads out of the recipe, to /etc/hostname"),
        ("[inside.env, ../x]", "leads out of the recipe"),
        ("link.env", "leads out of the recipe, to /etc/hostname"),
        (".git/config", "leads out of the recipe, to .git/config"),
        ("[{path: /etc/hostname}]", "is not a file's name"),
        ("missing.env", "not in the recipe"),
    ],
)
def test_an_env_file_outside_the_recipe_is_refused(tmp_path: Path, named: str, said: str) -> None:
    """It would hand any file of this machine to the app."""
    (tmp_path / "inside.env").write_text("A=1\n")
    (tmp_path / "link.env").symlink_to("/etc/hostname")
    (tmp_path / "compose.yml").write_text(f"services: {{a: {{image: i, env_file: {named}}}}}\n")
    kind = RefusedError if "leads out" in said else InvalidRecipeError
    with pytest.raises(kind, match=said):
        compose.load(committed(tmp_path), "", {})


def test_the_environment_is_put_together_as_docker_does_it(tmp_path: Path) -> None:
    """Files first; a name without a value, or with an empty one, takes the recipe's variable."""
    (tmp_path / "x.env").write_text("# a comment\nA=1\n  B= two \nC\nD\nE=\nF=file\n")
    (tmp_path / "compose.yml").write_text(
        "services: {a: {image: i, env_file: x.env, environment: [F=own, G, H=, I, 'J=a=b']}}\n"
    )
    env = {"C": "c", "E": "e", "G": "g"}
    (service,) = compose.load(committed(tmp_path), "", env).services.values()
    assert service.raw["environment"] == {
        "A": "1", "B": " two ", "C": "c", "E": "e", "F": "own", "G": "g", "H": "", "I": None,
        "J": "a=b",
    }  # fmt: skip
    assert "env_file" not in service.raw
    (tmp_path / "x.env").write_text("A B=1\n")
    with pytest.raises(InvalidRecipeError, match="line 1: 'A B' is not a variable's name"):
        compose.load(committed(tmp_path), "", env)


def test_what_multiplies_is_refused(load: Load, tmp_path: Path) -> None:
    """By what values come to once they are filled in, and by the files and services."""
    text = f"services: {{a: {{image: i, command: ['{'$LONG' * 100}']}}}}"
    with pytest.raises(InvalidRecipeError, match="more than the limit of 4000000 characters"):
        load(text, env={"LONG": "x" * 100_000})
    services = ", ".join(f"s{n}: {{image: i}}" for n in range(101))
    with pytest.raises(InvalidRecipeError, match="101 services, more than the limit of 100"):
        load(f"services: {{{services}}}")
    with pytest.raises(InvalidRecipeError, match="51 compose files, more than the limit of 50"):
        compose.load(committed(tmp_path), ":".join(["compose.yml"] * 51), {})
