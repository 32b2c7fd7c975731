"""Generated compose files: the file that docker is given means what the recipe's own files mean.

What `docker stack config` makes of a recipe's files, with the recipe's variables, has to be what it
makes of the one file that the harness writes, without any variable.
"""

import shutil
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.core.errors import HarnessError
from harness.recipes.compose import load
from tests.integration.rendering import as_docker_reads, rendered, without_ignored
from tests.unit.committed import committed

pytestmark = pytest.mark.timeout(600)

ENV = {
    "SET": "value",
    "EMPTY": "",
    "NUM": "5",
    "YES": "yes",
    "DOCKER_HOST": "tcp://x",
    "HOME": "/h",
}
TEXTS = st.sampled_from(
    ["a", "b c", "$SET", "${NOPE:-d-e}", "x$EMPTY", "$$x", "${NUM}", "1.0", "yes", "é€", "a=b",
     "t:u", "\U0001f600", "$SET-x", "#no", "'", "\x7f\x85\u2028", "0"]
)  # fmt: skip
NAMES = st.sampled_from(["A", "B", "SET", "EMPTY", "HOME", "z.y"])
NUMBERS = st.sampled_from([0, 1, 7, "${NUM}"])
SWITCHES = st.sampled_from([True, False, "${YES}", "$NUM"])
DURATIONS = st.sampled_from(["0s", "5s", "1m30s", "${NUM}s"])
VALUES = st.one_of(TEXTS, st.none(), st.integers(-5, 10**7), st.sampled_from([1.5, 1e21, 0.1]))


def lists(item: Any, most: int = 3) -> Any:  # noqa: ANN401  a strategy
    return st.lists(item, max_size=most, unique_by=repr)


def pairs(values: Any = VALUES) -> Any:  # noqa: ANN401
    as_list = lists(st.builds(lambda k, v: k if v is None else f"{k}={v}", NAMES, values))
    return st.one_of(st.dictionaries(NAMES, values, max_size=3), as_list)


def some(**fields: Any) -> Any:  # noqa: ANN401
    """Return mappings with some of these fields."""
    return st.fixed_dictionaries({}, optional=fields)


PORTS = lists(
    st.one_of(
        st.sampled_from(
            ["80", 81, "80:8080", "80:81/udp", "127.0.0.1:53:53", "70-72:80-82", "90-91:80", ":9",
             "${NUM}:6"]
        ),
        st.fixed_dictionaries(
            {"target": st.sampled_from([80, 81, "${NUM}"])},
            optional={"published": st.sampled_from([80, 8080, "${NUM}"]),
                      "protocol": st.sampled_from(["tcp", "udp"]),
                      "mode": st.sampled_from(["host", "ingress"])},
        ),
    )
)  # fmt: skip
MOUNTS = lists(
    st.one_of(
        st.sampled_from(
            ["data:/d", "data:/d:ro", "data:/d:nocopy", "/anon", "./x:/d", "/etc:/e:rw,rslave",
             "data:/d:ro,rw", "d:/x", "~/h:/home", "data:/d:z,rshared", "$EMPTY/x:/y"]
        ),
        st.fixed_dictionaries(
            {"type": st.just("volume"), "source": st.sampled_from(["data", "other"]),
             "target": st.sampled_from(["/d", "/e"])},
            optional={"read_only": SWITCHES, "volume": some(nocopy=SWITCHES)},
        ),
        st.fixed_dictionaries(
            {"type": st.just("tmpfs"), "target": st.just("/t")},
            optional={"tmpfs": some(size=st.just(1000))},
        ),
        st.fixed_dictionaries(
            {"type": st.just("bind"), "source": st.sampled_from(["/x", "rel", "$SET"]),
             "target": st.sampled_from(["/d", "/b"])},
            optional={"bind": some(propagation=st.just("rshared"))},
        ),
    )
)  # fmt: skip
NETWORKS = st.one_of(
    lists(st.sampled_from(["proxy", "inner"])),
    st.dictionaries(
        st.sampled_from(["proxy", "inner"]),
        st.one_of(st.none(), some(aliases=lists(TEXTS), ipv4_address=st.just("10.0.0.9"))),
        max_size=2,
    ),
)


def references(*names: str) -> Any:  # noqa: ANN401
    return lists(
        st.one_of(
            st.sampled_from(names),
            st.fixed_dictionaries(
                {"source": st.sampled_from(names)},
                optional={"target": TEXTS, "uid": st.just("5"),
                          "mode": st.sampled_from([292, "${NUM}"])},
            ),
        )
    )  # fmt: skip


UPDATE = some(
    parallelism=NUMBERS, delay=DURATIONS, failure_action=st.just("pause"), monitor=DURATIONS,
    max_failure_ratio=st.sampled_from([0, 0.5, "0.$NUM"]), order=st.just("start-first"),
)  # fmt: skip
DEPLOY = some(
    labels=pairs(), mode=st.sampled_from(["global", "replicated"]), replicas=NUMBERS,
    endpoint_mode=st.sampled_from(["vip", "dnsrr"]), update_config=UPDATE, rollback_config=UPDATE,
    resources=some(
        limits=some(cpus=st.sampled_from(["0.5", "${NUM}"]), memory=st.sampled_from(["0", "64M"]),
                    pids=st.sampled_from([0, 9])),
        reservations=some(memory=st.just("1g")),
    ),
    restart_policy=some(condition=st.sampled_from(["any", "none"]), delay=DURATIONS,
                        max_attempts=NUMBERS, window=DURATIONS),
    placement=some(constraints=lists(TEXTS), preferences=lists(some(spread=TEXTS)),
                   max_replicas_per_node=NUMBERS),
)  # fmt: skip
SERVICE = some(
    image=TEXTS, hostname=TEXTS, user=TEXTS, working_dir=TEXTS, stop_signal=TEXTS,
    command=st.one_of(st.sampled_from(["", "a 'b c'", "#x", "echo $SET"]), lists(TEXTS)),
    entrypoint=st.one_of(st.sampled_from(["", "x"]), lists(TEXTS)),
    environment=pairs(), env_file=st.sampled_from(["x.env", ["x.env", "y.env"]]),
    labels=pairs(), sysctls=pairs(), extra_hosts=st.one_of(lists(st.just("h:1.2.3.4")),
                                                           st.just({"h": "1.2.3.4", "g": "::1"})),
    cap_add=lists(st.sampled_from(["NET_ADMIN", "CHOWN"])), cap_drop=lists(st.just("ALL")),
    dns=st.one_of(st.just("1.1.1.1"), lists(st.just("8.8.8.8"))), dns_search=lists(TEXTS),
    ports=PORTS, volumes=MOUNTS, networks=NETWORKS, secrets=references("s", "t"),
    configs=references("c"), depends_on=lists(st.just("app")), init=st.booleans(),
    healthcheck=some(test=st.one_of(TEXTS, lists(TEXTS)), interval=DURATIONS, timeout=DURATIONS,
                     retries=NUMBERS, start_period=DURATIONS, disable=SWITCHES),
    logging=some(driver=st.sampled_from(["json-file", "local"]),
                 options=st.dictionaries(NAMES, TEXTS, max_size=2)),
    ulimits=st.dictionaries(st.sampled_from(["nofile", "nproc"]),
                            st.one_of(NUMBERS, st.just({"soft": 1, "hard": "${NUM}"})), max_size=2),
    read_only=SWITCHES, tty=SWITCHES, stdin_open=SWITCHES, privileged=st.booleans(),
    stop_grace_period=DURATIONS, restart=st.sampled_from(["always", "no"]), deploy=DEPLOY,
    expose=lists(st.sampled_from(["80", 81])), tmpfs=st.just("/run"), pid=st.just("host"),
)  # fmt: skip
EXTERNAL = st.one_of(SWITCHES, st.just({"name": "$SET"}))
MADE = st.fixed_dictionaries(
    {"file": st.just("x")},
    optional={"external": EXTERNAL, "name": TEXTS, "template_driver": st.just("golang")},
)
TOP = st.fixed_dictionaries(
    {},
    optional={
        "volumes": some(
            data=st.one_of(st.none(), some(name=TEXTS, labels=pairs(), driver=TEXTS,
                                           driver_opts=st.dictionaries(NAMES, TEXTS, max_size=2))),
            other=some(external=EXTERNAL),
        ),
        "networks": some(proxy=some(external=EXTERNAL, name=TEXTS),
                         inner=some(internal=SWITCHES, attachable=SWITCHES, labels=pairs(),
                                    ipam=st.just({"config": [{"subnet": "10.9.0.0/24"}]}))),
        "secrets": some(s=MADE, t=st.just({"file": "./x"})),
        "configs": some(c=MADE),
    },
)  # fmt: skip
DECLARED: dict[str, dict[str, Any]] = {
    "volumes": {"data": None, "other": None},
    "networks": {"proxy": {"external": True}, "inner": {}},
    "secrets": {"s": {"external": True}, "t": {"file": "x"}},
    "configs": {"c": {"file": "x"}},
}
FILES = st.lists(st.tuples(SERVICE, TOP), min_size=1, max_size=2)


def texts(files: list[tuple[dict[str, Any], dict[str, Any]]]) -> list[str]:
    """Return the files as YAML: the first has an image, and declares whatever is used."""
    written = []
    for number, (service, top) in enumerate(files):
        app = {"image": "nginx:1", **service} if number == 0 else service
        sections: dict[str, Any] = {
            name: {**declared, **top.get(name, {})} for name, declared in DECLARED.items()
        }
        document = {
            "version": "3.8",
            "services": {"app": app},
            **(sections if number == 0 else top),
        }
        written.append(yaml.safe_dump(document, allow_unicode=True))
    return written


@given(files=FILES)
@settings(
    max_examples=60, deadline=None, database=None, derandomize=True,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
def test_the_file_that_docker_is_given_means_what_the_recipe_says(
    files: list[tuple[dict[str, Any], dict[str, Any]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever docker takes; of what it refuses, only that we do not crash on it."""
    place = tmp_path_factory.mktemp("recipe")
    names = []
    for number, text in enumerate(texts(files)):
        names.append(f"{number}.yml")
        (place / names[-1]).write_text(text)
    for name in ("x", "x.env", "y.env"):
        (place / name).write_text("A=1\nSET\nEMPTY=\n")
    docker = as_docker_reads(place, tuple(names), ENV)
    try:
        ours = rendered(load(committed(place), ":".join(names), ENV), place)
    except HarnessError as error:
        ours = f"we refuse it: {error}"
    if docker is not None:
        assert as_docker_reads(place, (ours,)) == without_ignored(docker), ours
    shutil.rmtree(place)
