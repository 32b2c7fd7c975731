"""What a recipe may ask of the host: nothing, unless a line with a reason allows it."""

from pathlib import Path

import pytest

from harness.ci.forge.base import State
from harness.ci.post import STATES
from harness.core.errors import EXIT_REFUSED, RefusedError, UsageError
from harness.core.model import Outcome
from harness.recipes.compose import load
from harness.recipes.policy.allowed import Policy
from harness.recipes.policy.asked import asks_of, left_alone
from harness.recipes.policy.deployed import asks_of_services
from harness.report import junit, summary
from harness.report.answer import answer
from harness.report.results import RunResult
from harness.report.site.badges import COLOURS, badge_svg
from harness.report.site.page import SIGNS
from harness.report.summary import MARKS
from harness.verdict.decide import decide
from harness.verdict.facts import EndedBy, RunFacts
from tests.unit.committed import committed

GPU = "{discrete_resource_spec: {kind: gpu, value: 1}}"
STACK, DOMAIN = "made-1_test", "made-1.test"


def asks(directory: Path, app: str = "", rest: str = "") -> list[str]:
    """Return the items that a service with these keys asks for."""
    text = f"version: '3.8'\nservices: {{app: {{image: nginx:1, {app}}}}}\n{rest}\n"
    (directory / "compose.yml").write_text(text)
    return [ask.item for ask in asks_of(load(committed(directory), "", {}), STACK, DOMAIN)]


@pytest.mark.parametrize(
    ("app", "rest", "items"),
    [
        ("volumes: ['/srv//x/../y/:/y']", "", ["bind:/srv/y"]),
        ("volumes: ['/var/run/docker.sock:/s:ro', '/var/run/docker.sock:/t']", "",
         ["bind:/var/run/docker.sock"]),
        ("volumes: ['./own:/x']", "", ["bind:./own"]),
        ("volumes: [{type: npipe, source: x, target: /x}]", "", ["mount:npipe=x"]),
        ("ports: ['25:25', '53:53/udp', 80]", "", ["port:25", "port:53/udp", "port:any"]),
        ("ports: ['3000-3002:3000-3002/udp', {target: 1, published: 3003, protocol: udp}]", "",
         ["port:3000-3003/udp"]),
        ("cap_add: [CHOWN, net_admin, CAP_SYS_ADMIN, ALL]", "",
         ["cap:NET_ADMIN", "cap:SYS_ADMIN", "cap:ALL"]),
        ("sysctls: {net.core.somaxconn: 5}", "", ["sysctl:net.core.somaxconn"]),
        ("logging: {driver: syslog}", "", ["log-driver:syslog"]),
        ("logging: {driver: json-file, options: {max-size: 1m, tag: x}}", "", []),
        ("logging: {options: {syslog-address: 'unix:///run/x'}}", "",
         ["log-opts:syslog-address=unix:///run/x"]),
        ("oom_score_adj: -5", "", ["oom-score-adj:-5"]),
        ("ulimits: {rtprio: 99, nice: {soft: 1, hard: 40}}", "", ["ulimit:rtprio", "ulimit:nice"]),
        ("oom_score_adj: 5, ulimits: {nofile: 9}, init: true, user: root", "", []),
        (f"deploy: {{resources: {{reservations: {{generic_resources: [{GPU}]}}}}}}", "",
         ["resource:gpu"]),
        ("networks: {default: {driver_opts: {com.docker.network.endpoint.sysctls: x}}}", "",
         ["network-opts:com.docker.network.endpoint.sysctls=x"]),
        ("volumes: ['/srv/{{.Service.Name}}/../x:/y']", "", ["bind:/srv/{{.Service.Name}}/../x"]),
        (f"volumes: ['/srv/{STACK}:/y', '/srv/{DOMAIN}:/z']", "",
         ["bind:/srv/${STACK_NAME}", "bind:/srv/${DOMAIN}"]),
        ("credential_spec: {file: x}", "", ["credential-spec:file=x"]),
        ("labels: {ccci.run: x}", "", ["label:ccci.run"]),
        ("deploy: {labels: [ccci.kept-until=9]}", "", ["label:ccci.kept-until"]),
        ("", "volumes: {v: {labels: {ccci.run: x}}}", ["label:ccci.run"]),
        ("", "volumes: {v: {external: true, name: theirs}}", ["volume:theirs"]),
        ("", "volumes: {v: {name: '{{.Node.ID}}'}}", ["volume:{{.Node.ID}}"]),
        ("", f"volumes: {{v: {{name: '{STACK}_{{{{.Task.Slot}}}}'}}}}", []),
        ("", "volumes: {v: {driver: nfs}}", ["volume-driver:nfs"]),
        ("", "volumes: {v: {driver_opts: {type: none, o: bind, device: /srv/victim}}}",
         ["bind:/srv/victim"]),
        ("", "volumes: {v: {driver_opts: {type: tmpfs, o: bind, device: /etc}}}", ["bind:/etc"]),
        ("", "volumes: {v: {driver_opts: {type: none, o: bind, device: /a/link/..}}}",
         ["driver-opts:device=/a/link/..,o=bind,type=none"]),
        ("", "volumes: {v: {driver_opts: {type: tmpfs, o: '{{if 1}}bind{{end}}', device: /}}}",
         ["driver-opts:device=/,o={{if 1}}bind{{end}},type=tmpfs"]),
        ("", "volumes: {v: {driver_opts: {type: tmpfs, device: tmpfs, o: 'size=16m,uid=33'}}}", []),
        ("", "volumes: {v: {driver_opts: {type: nfs, o: addr=h, device: ':/x'}}}",
         ["driver-opts:device=:/x,o=addr=h,type=nfs"]),
        ("", "volumes: {v: {driver_opts: {type: overlay, o: 'lowerdir=/', device: overlay}}}",
         ["driver-opts:device=overlay,o=lowerdir=/,type=overlay"]),
        ("networks: [proxy]", "networks: {proxy: {external: true}}", []),
        ("", "networks: {n: {external: true, name: other_default}}", ["network:other_default"]),
        ("", "networks: {n: {external: true, name: host}}", ["network:host"]),
        ("", "networks: {n: {name: host}}", ["network:host"]),
        ("", "networks: {n: {driver: macvlan, driver_opts: {parent: eth0}}}",
         ["network-driver:macvlan", "network-opts:parent=eth0"]),
        ("", "networks: {n: {driver_opts: {encrypted: ''}}}", []),
        ("", "networks: {n: {ipam: {driver: default, config: [{subnet: 10.9.0.0/24}]}}}", []),
        ("", "networks: {n: {ipam: {driver: dhcp}}}", ["ipam-driver:dhcp"]),
        ("", "networks: {n: {driver_opts: {com.docker.network.driver.overlay.vxlanid_list: 7}}}",
         ["network-opts:com.docker.network.driver.overlay.vxlanid_list=7"]),
        ("", "configs: {c: {external: true}}", ["config:c"]),
        ("", "configs: {c: {file: /etc/shadow}}", ["file:/etc/shadow"]),
        ("", "configs: {c: {file: ./.git/config}}", ["file:.git/config"]),
        ("", "secrets: {s: {external: true, name: theirs}}", ["secret:theirs"]),
        ("", f"secrets: {{s: {{external: true, name: {STACK}_s_v1}}}}", []),
        ("", "secrets: {s: {driver: vault}}", ["secret-driver:vault"]),
        # Docker ignores these.
        ("privileged: true, pid: host, devices: ['/dev/sda:/x'], ipc: host", "", []),
        ("userns_mode: host, security_opt: [x], cgroup_parent: /x, network_mode: host", "", []),
        # Docker refuses these.
        ("cap_add: SYS_ADMIN, logging: x", "", []),
    ],
)  # fmt: skip
def test_whatever_reaches_past_the_runs_own_is_asked_for(
    tmp_path: Path, app: str, rest: str, items: list[str]
) -> None:
    """In the one form that a line of HOST_ACCESS has."""
    assert asks(tmp_path, app, rest) == items


def test_an_image_of_the_harness_is_none_of_a_recipes_business(tmp_path: Path) -> None:
    """The stand-ins and the tool container have these names."""
    (tmp_path / "compose.yml").write_text("services: {a: {image: localhost/cc-ci/toolbox:1}}")
    (ask,) = asks_of(load(committed(tmp_path), "", {}), STACK)
    assert ask.never


def test_all_that_is_not_allowed_is_told_at_once_with_the_lines_for_it(tmp_path: Path) -> None:
    """Some can never be; an allowed one that is nearly the same is named."""
    (tmp_path / "compose.yml").write_text(
        "services: {a: {image: i, volumes: ['/var/run/docker.sock:/s'], ports: ['25:25'],"
        " labels: [ccci.run=x], cap_add: [NET_ADMIN]}}"
    )
    found = asks_of(load(committed(tmp_path), "", {}), STACK)
    lines = {"bind:/var/run/dokcer.sock": "a typo", "cap:NET_ADMIN": "a tunnel"}
    policy = Policy.of("made", lines, trusted=False, overlays="/o")
    with pytest.raises(RefusedError, match="asks for 3 things") as caught:
        policy.require(found)
    said = str(caught.value)
    assert caught.value.exit_code == EXIT_REFUSED == 8
    assert '"bind:/var/run/docker.sock": "",  # why does service a need it?' in said
    assert '"port:25": "",  # why does service a need it?' in said
    assert "label:ccci.run (service a): no line allows it" in said
    assert "is not bind:/var/run/dokcer.sock, which a line allows" in said
    assert "HOST_ACCESS in /o/made/recipe_meta.py" in said
    assert "cap:NET_ADMIN" not in said
    assert [one.text for one in policy.stale(found)] == [
        "HOST_ACCESS allows bind:/var/run/dokcer.sock, but the recipe does not ask for it"
    ]


def test_a_trusted_recipe_may_ask_for_all_but_what_is_the_harness_own(tmp_path: Path) -> None:
    """And the plan says what it asked for."""
    policy = Policy.of("made", {}, trusted=True)
    (tmp_path / "compose.yml").write_text("services: {a: {image: i, volumes: ['/:/host']}}")
    asks = asks_of(load(committed(tmp_path), "", {}), STACK)
    policy.require(asks)
    assert policy.notes(asks) == ("--trust allows what HOST_ACCESS does not: bind:/",)
    assert Policy.of("made", {}, trusted=False).notes(asks) == ()
    (tmp_path / "compose.yml").write_text("services: {a: {image: i, labels: [ccci.run=x]}}")
    with pytest.raises(RefusedError, match="1 thing"):
        policy.require(asks_of(load(committed(tmp_path), "", {}), STACK))


@pytest.mark.parametrize(
    ("item", "said"), [("bnd:/x", "did you mean 'bind:/x'"), ("x", "kinds are"), ("bind:", "bind")]
)
def test_a_line_that_allows_nothing_is_refused(item: str, said: str) -> None:
    """Else a typo would look like a permission."""
    with pytest.raises(UsageError, match="HOST_ACCESS") as caught:
        Policy.of("made", {item: "why"}, trusted=False)
    assert said in caught.value.what


def test_a_volume_that_leads_to_the_host_is_said_to_be_left_alone(tmp_path: Path) -> None:
    """One in memory is the run's own."""
    (tmp_path / "compose.yml").write_text(
        "services: {a: {image: i}}\nvolumes: {own: {}, ram: {driver_opts: {type: tmpfs}},"
        " host: {driver_opts: {o: bind, device: /srv}}, plugin: {driver: nfs}}"
    )
    said = left_alone(load(committed(tmp_path), "", {}))
    assert [one.partition(",")[0] for one in said] == ["volume host", "volume plugin"]


def test_every_report_says_refused() -> None:
    """With the reason; to a forge it is an error, and JUnit has no better word than skipped."""
    error = RefusedError("made asks for 1 thing", detail='HOST_ACCESS = {"port:25": "why"}')
    verdict = decide(RunFacts(stopped=EndedBy.of(error)))
    assert (verdict.outcome, verdict.exit_code) == (Outcome.REFUSED, EXIT_REFUSED)
    assert not verdict.may_merge
    run = RunResult(
        run="r", recipe="made", source="s", platform="swarm", started="2026-01-01T12:00:00+00:00",
        seconds=1.0, repeat="again", verdict=verdict,
    )  # fmt: skip
    xml = junit.render(run)
    assert 'skipped="1"' in xml
    assert '<skipped message="refused: made asks for 1 thing' in xml
    assert "refused" in summary.render(run)
    assert answer(run) == "inconclusive: the recipe asks for access to the host that is not allowed"
    assert "refused" in badge_svg("made", Outcome.REFUSED)
    assert STATES[Outcome.REFUSED] is State.ERROR
    assert set(STATES) == set(SIGNS) == set(MARKS) == set(COLOURS) == set(Outcome)


def test_what_an_engine_runs_is_asked_for_in_the_same_words(tmp_path: Path) -> None:
    """Names that the compose files have as well, and the harness's own socket, are nothing new."""
    (tmp_path / "compose.yml").write_text(
        "services: {app: {image: i}}\nvolumes: {data: {}}\nnetworks: {proxy: {external: true}}\n"
        "configs: {c: {file: compose.yml}}"
    )
    compose = load(committed(tmp_path), "", {})
    host = {"Name": "local", "Options": {"o": "bind", "device": "/srv"}}
    container = {
        "Mounts": [
            {"Type": "volume", "Source": f"{STACK}_data", "Target": "/d"},
            {"Type": "bind", "Source": "/own/engine.sock", "Target": "/s"},
            {"Type": "bind", "Source": f"/srv/{STACK}", "Target": "/b"},
            {
                "Type": "volume", "Source": "theirs", "Target": "/t",
                "VolumeOptions": {"DriverConfig": host},
            },
        ],
        "Configs": [{"ConfigName": f"{STACK}_c"}, {"ConfigName": "other_c"}],
        "Secrets": [{"SecretName": "other_s"}],
        "CapabilityAdd": ["CAP_NET_ADMIN"],
        "Sysctls": {"net.core.somaxconn": "9"},
        "Ulimits": [{"Name": "nofile", "Hard": 9}, {"Name": "rtprio", "Hard": 99}],
    }  # fmt: skip
    task = {
        "ContainerSpec": container,
        "Networks": [{"Target": "1"}, {"Target": "2"}, {"Target": "3"}],
        "LogDriver": {"Name": "syslog"},
    }
    ports = [{"TargetPort": 80, "PublishedPort": 8080, "Protocol": "tcp"}]
    spec = {"Name": f"{STACK}_app", "TaskTemplate": task, "EndpointSpec": {"Ports": ports}}
    networks = {"1": "proxy", "2": f"{STACK}_default", "3": "other_default"}
    found = asks_of_services(
        [{"Spec": spec}], compose, STACK, DOMAIN,
        networks=networks, laid_over=frozenset({"/own/engine.sock"}),
    )  # fmt: skip
    assert [ask.item for ask in found] == [
        "bind:/srv/${STACK_NAME}", "port:8080", "cap:NET_ADMIN", "sysctl:net.core.somaxconn",
        "ulimit:rtprio", "log-driver:syslog", "bind:/srv", "volume:theirs",
        "network:other_default", "config:other_c", "secret:other_s",
    ]  # fmt: skip
    assert {ask.who for ask in found} == {"service app"}
