"""Where a recipe's page is: which service, scheme, port and path its own files name."""

from pathlib import Path

import pytest

from harness.assertions.health import health_of, router_warnings, said_of
from harness.assertions.look import Page, Seen
from harness.core.errors import InvalidRecipeError
from harness.core.model import WarningCode
from harness.recipes.checks import Check
from harness.recipes.compose import load
from harness.recipes.doors import Door, find
from harness.recipes.meta import RecipeMeta
from harness.recipes.rules import problem
from tests.unit.committed import committed

DOMAIN, STACK = "a.test", "a_test"
HTTP = "traefik.http.services.a.loadbalancer.server"


def doors(
    tmp_path: Path,
    services: str,
    networks: str = "{proxy: {external: true}}",
    *,
    asked_for: bool = False,
) -> list[Door]:
    """Return the doors of a recipe with those services, in YAML."""
    (tmp_path / "compose.yml").write_text(f"services:\n{services}networks: {networks}\n")
    compose = load(committed(tmp_path), "", {"DOMAIN": DOMAIN})
    return list(find(compose, domain=DOMAIN, stack=STACK, asked_for=asked_for))


def service(name: str, *labels: str, check: str = "", networks: str = "[proxy]") -> str:
    """Return a service in YAML."""
    listed = "".join(f"        - {label!r}\n" for label in labels)
    return (
        f"  {name}:\n    image: x\n    networks: {networks}\n"
        + (f"    healthcheck: {{test: {check}}}\n" if check else "")
        + (f"    deploy:\n      labels:\n{listed}" if labels else "")
    )


def first(found: list[Door]) -> tuple[str, str, int, str]:
    """Return what is asked first."""
    return found[0].service, found[0].scheme, found[0].port, found[0].path


@pytest.mark.parametrize(
    ("services", "expected"),
    [
        # php-fpm: the web server has the router, and `app` serves no pages
        (
            service("app", check='["CMD", "php-fpm-healthcheck"]')
            + service("web", "traefik.http.routers.a.rule=Host(`a.test`)", f"{HTTP}.port=8080"),
            ("web", "http", 8080, "/"),
        ),
        # a TCP router and its port lead to no page, in whatever order they stand
        (
            service(
                "app", f"{HTTP}.port=80", "traefik.tcp.routers.x.rule=HostSNI(`*`)",
                "traefik.tcp.services.x.loadbalancer.server.port=8008",
            ),
            ("app", "http", 80, "/"),
        ),
        (
            service(
                "app", "traefik.udp.services.x.loadbalancer.server.port=1", f"{HTTP}.port=3000",
                "traefik.http.routers.a.rule=Host(`a.test`)",
            ),
            ("app", "http", 3000, "/"),
        ),
        # the router's own service, of several
        (
            service(
                "app", "traefik.http.services.b.loadbalancer.server.port=9000",
                "traefik.http.services.c.loadbalancer.server.port=9001",
                "traefik.http.routers.x.rule=Host(`a.test`)", "traefik.http.routers.x.service=c",
            ),
            ("app", "http", 9001, "/"),
        ),
        (
            service(
                "app", "traefik.http.routers.x.rule=Host(`a.test`)",
                "traefik.http.routers.x.service=c@swarm",
            )
            + service("back", "traefik.http.services.c.loadbalancer.server.port=9001"),
            ("back", "http", 9001, "/"),
        ),
        (
            service(
                "app", f"{HTTP}.port=8443", f"{HTTP}.scheme=https",
                "traefik.http.routers.a.rule=Host(`a.test`)",
            ),
            ("app", "https", 8443, "/"),
        ),
        # the app's own host name goes before others, and the whole host before a part of it
        (
            service("app", "traefik.http.routers.a.rule=Host(`api.a.test`)", f"{HTTP}.port=1")
            + service(
                "web", "traefik.http.routers.b.rule=Host(`www.a.test`, `a.test`)",
                "traefik.http.services.b.loadbalancer.server.port=2",
            ),
            ("web", "http", 2, "/"),
        ),
        (
            service(
                "app", "traefik.http.routers.a.rule=Host(`a.test`) && PathPrefix(`/api`)",
                f"{HTTP}.port=1",
            )
            + service(
                "web", "traefik.http.routers.b.rule=Host(`a.test`)",
                "traefik.http.services.b.loadbalancer.server.port=2",
            ),
            ("web", "http", 2, "/"),
        ),
        (
            service(
                "app", "traefik.http.routers.a.rule=Host(`a.test`) && PathPrefix(`/api`)",
                f"{HTTP}.port=1",
            ),
            ("app", "http", 1, "/api"),
        ),
        # a prefix that the proxy takes away, and one that it adds
        (
            service(
                "app", "traefik.http.routers.a.rule=Host(`a.test`) && PathPrefix(`/api`)",
                "traefik.http.routers.a.middlewares=gzip@file,s@swarm", f"{HTTP}.port=1",
                "traefik.http.middlewares.s.stripprefix.prefixes=/api",
            ),
            ("app", "http", 1, "/"),
        ),
        (
            service(
                "app", "traefik.http.routers.a.rule=Host(`a.test`)",
                "traefik.http.routers.a.middlewares=c", f"{HTTP}.port=1",
                "traefik.http.middlewares.c.chain.middlewares=s",
                "traefik.http.middlewares.s.addprefix.prefix=/web",
            ),
            ("app", "http", 1, "/web/"),
        ),
        # keys in capitals are the same to Traefik, and a rule may say `or`
        (
            service(
                "app", "traefik.HTTP.Services.a.LoadBalancer.server.port=7",
                "traefik.http.routers.a.rule=Host(`x.test`) || (Host(`a.test`) && !Path(`/no`))",
            ),
            ("app", "http", 7, "/"),
        ),
        # a router that only redirects is asked last
        (
            service(
                "app", "traefik.http.routers.r.rule=Host(`a.test`)",
                "traefik.http.routers.r.middlewares=m", "traefik.http.routers.r.service=b",
                "traefik.http.middlewares.m.redirectscheme.scheme=https",
                "traefik.http.services.b.loadbalancer.server.port=1",
                "traefik.http.routers.s.rule=Host(`a.test`)", "traefik.http.routers.s.service=c",
                "traefik.http.services.c.loadbalancer.server.port=2",
            ),
            ("app", "http", 2, "/"),
        ),
        # nextcloud/docker, issue 1422: a pattern about other paths redirects no visitor of the page
        (
            service(
                "app", "traefik.http.routers.a.rule=Host(`a.test`)", f"{HTTP}.port=1",
                "traefik.http.routers.a.middlewares=d",
                "traefik.http.middlewares.d.redirectregex.regex=https://(.*)/.well-known/(card|cal)dav",
                "traefik.http.middlewares.d.redirectregex.replacement=https://a.test/remote.php/dav",
            )
            + service(
                "push", "traefik.http.routers.b.rule=Host(`a.test`) && PathPrefix(`/push`)",
                "traefik.http.services.b.loadbalancer.server.port=2",
            ),
            ("app", "http", 1, "/"),
        ),
        # one that takes it does, and so may one that takes long to tell
        *(
            (
                service(
                    "app", "traefik.http.routers.a.rule=Host(`a.test`)", f"{HTTP}.port=1",
                    "traefik.http.routers.a.middlewares=d",
                    f"traefik.http.middlewares.d.redirectregex.regex={pattern}",
                )
                + service(
                    "web", "traefik.http.routers.b.rule=Host(`a.test`)",
                    "traefik.http.services.b.loadbalancer.server.port=2",
                ),
                ("web", "http", 2, "/"),
            )
            for pattern in ("^https?://[^/]+/?$$", "((a+)+)+x", "(")
        ),
        # a router of another entry point than those of browsers goes after theirs
        (
            service(
                "app", "traefik.http.routers.f.rule=Host(`a.test`)",
                "traefik.http.routers.f.entrypoints=matrix-federation",
                "traefik.http.routers.f.service=f",
                "traefik.http.services.f.loadbalancer.server.port=8448",
                "traefik.http.routers.a.rule=Host(`a.test`)",
                "traefik.http.routers.a.entrypoints=web-secure",
                "traefik.http.routers.a.service=a", f"{HTTP}.port=8008",
            ),
            ("app", "http", 8008, "/"),
        ),
        # traefik/traefik, issue 5168: a path that stands for another one
        (
            service(
                "app", "traefik.http.routers.a.rule=Host(`a.test`)",
                "traefik.http.routers.a.middlewares=r", f"{HTTP}.port=1",
                "traefik.http.middlewares.r.replacepath.path=/web/",
            ),
            ("app", "http", 1, "/web/"),
        ),
        # a service that is switched off has no page, nor has one that Traefik serves itself
        (
            service("app", "traefik.enable=false", f"{HTTP}.port=1")
            + service("web", "traefik.http.services.b.loadbalancer.server.port=2"),
            ("web", "http", 2, "/"),
        ),
        (
            service(
                "app", "traefik.http.routers.d.rule=Host(`d.a.test`)",
                "traefik.http.routers.d.service=api@internal",
                "traefik.http.routers.a.rule=Host(`a.test`)", f"{HTTP}.port=5",
            ),
            ("app", "http", 5, "/"),
        ),
        # without a router: the health check, which must ask by HTTP
        (
            service("db", check='["CMD", "pg_isready"]')
            + service("app", check="curl -fs http://localhost:3000/health || exit 1"),
            ("app", "http", 3000, "/"),
        ),
        # and a router without a port leads where the health check asks
        (
            service("app", "traefik.enable=true", check='["CMD", "wget", "-q", "127.0.0.1:8080"]'),
            ("app", "http", 8080, "/"),
        ),
        (
            service("db") + service("app", "traefik.http.routers.a.rule=Host(`a.test`)"),
            ("app", "http", 80, "/"),
        ),
    ],
)  # fmt: skip
def test_the_page_is_where_the_recipe_says(
    tmp_path: Path, services: str, expected: tuple[str, str, int, str]
) -> None:
    """As Traefik reads the labels, else as the health check asks."""
    found = doors(tmp_path, services)
    assert first(found) == expected
    assert found[0].certain


def test_labels_may_be_a_mapping(tmp_path: Path) -> None:
    """And a port there a number."""
    labels = f'{{"{HTTP}.port": 8080, "traefik.enable": true}}'
    found = doors(tmp_path, f"  web: {{image: x, deploy: {{labels: {labels}}}}}\n")
    assert first(found) == ("web", "http", 8080, "/")


def test_labels_outside_deploy_are_not_read(tmp_path: Path) -> None:
    """Traefik reads those of Swarm services, and so do we."""
    found = doors(tmp_path, f'  app: {{image: x, labels: {{"{HTTP}.port": 8080}}}}\n')
    assert found == []


def test_a_service_that_the_proxy_reaches_may_serve_a_page_although_nothing_says_so(
    tmp_path: Path,
) -> None:
    """It is only tried; one that the proxy does not reach is not even tried."""
    (door,) = doors(tmp_path, service("db", networks="[default]") + service("web"))
    assert (door.service, door.port, door.certain) == ("web", 80, False)
    assert doors(tmp_path, service("app", networks="[default]")) == []
    tcp = "traefik.tcp.routers.x.rule=HostSNI(`*`)"
    (door,) = doors(tmp_path, service("app", "traefik.enable=true", tcp))
    assert not door.certain


def test_a_proxy_network_under_another_key_is_the_proxy_network(tmp_path: Path) -> None:
    """Its name counts, not the key."""
    networks = "{web: {external: true, name: proxy}}"
    assert doors(tmp_path, service("app", networks="[web]"), networks)
    assert not doors(tmp_path, service("app", networks="[web]"), "{web: {}}")


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        (("CMD", "curl", "-f", "http://localhost/api/health"), ("http", None, "/api/health")),
        (("CMD-SHELL", "curl -fk https://127.0.0.1:8443/x || exit 1"), ("https", 8443, "/x")),
        (("CMD-SHELL", "wget --spider -q localhost:8080/ping"), ("http", 8080, "/ping")),
        (("CMD-SHELL", "wget -qO- 'http://[::1]:80/a?b=1&c=2'"), ("http", 80, "/a?b=1&c=2")),
        (("CMD-SHELL", "curl http://0.0.0.0:1/a&&true"), ("http", 1, "/a")),
        (("CMD", "node", "-e", "fetch('http://localhost:3000/ok')"), ("http", 3000, "/ok")),
        (("CMD-SHELL", "curl -s http://user:pw@localhost:9/x"), ("http", 9, "/x")),
        (("CMD", "pg_isready", "-h", "localhost"), None),
        (("CMD-SHELL", "redis-cli -h localhost ping"), None),
        (("CMD-SHELL", "nc -z localhost 25"), None),
        (("CMD", "curl", "--unix-socket", "/run/s", "http://localhost/x"), None),
        (("CMD-SHELL", "curl http://localhost.example.org/"), None),
        (("CMD-SHELL", "curl http://db:3000/"), None),
        (("CMD-SHELL", "curl http://localhost:$PORT/x"), None),
        (("NONE",), None),
        ((), None),
    ],
)
def test_what_a_health_check_asks_for(
    test: tuple[str, ...], expected: tuple[str, int | None, str] | None
) -> None:
    """By HTTP, and of its own container; anything else says nothing about a page."""
    found = Check.parse(test)
    assert (found and (found.scheme, found.port, found.path)) == expected


def test_the_path_that_traefik_checks_shows_that_an_app_works(tmp_path: Path) -> None:
    """fosrl/pangolin, issue 2976: `/` is 404, and so the labels name another path."""
    labels = ("traefik.http.routers.a.rule=Host(`a.test`)", f"{HTTP}.port=8090")
    path = "traefik.http.services.a.loadbalancer.healthcheck.path=/api/health"
    other = "traefik.http.services.a.loadbalancer.healthcheck.port=9000"
    (door,) = doors(tmp_path, service("app", *labels, path))
    assert (door.check, door.balance) == ("/api/health", "/api/health")
    (door,) = doors(tmp_path, service("app", *labels, path, other))
    assert (door.check, door.balance) == ("", "")


def test_the_path_of_a_health_check_counts_only_on_the_port_of_the_page(tmp_path: Path) -> None:
    """Another port may be that of the metrics."""
    labels = ("traefik.http.routers.a.rule=Host(`a.test`)", f"{HTTP}.port=80")
    (same,) = doors(tmp_path, service("app", *labels, check="curl -f localhost/api"))
    (other,) = doors(tmp_path, service("app", *labels, check="curl -f localhost:9090/metrics"))
    assert (same.check, other.check) == ("/api", "")


ROUTED = (Door(service="web", port=3000, path="/x", check="/ok", why="the HTTP router a"),)


@pytest.mark.parametrize(
    ("doors_", "meta", "expected"),
    [
        (ROUTED, {}, ("web", 3000, "/x", "/ok", True)),
        (ROUTED, {"HEALTH_PATH": "/"}, ("web", 3000, "/", "", True)),
        (ROUTED, {"HEALTH_PORT": 81}, ("web", 81, "/x", "", True)),
        (ROUTED, {"HEALTH_SERVICE": "app"}, ("app", 80, "/", "", True)),
        (ROUTED, {"HEALTH_SERVICE": None}, ("", 80, "/", "", True)),
        ((), {}, ("", 80, "/", "", True)),
        ((), {"HEALTH_PORT": 81}, ("app", 81, "/", "", True)),
        ((), {"MARKER": "it"}, ("app", 80, "/", "", True)),
        ((Door(service="app"),), {}, ("app", 80, "/", "", False)),
        ((Door(service="app"),), {"HEALTH_STATUS": 401}, ("app", 80, "/", "", True)),
    ],
)
def test_the_meta_goes_before_the_recipes_files(
    doors_: tuple[Door, ...], meta: dict[str, object], expected: tuple[str, int, str, str, bool]
) -> None:
    """And whatever it says of a page means that there must be one."""
    made = RecipeMeta(**meta)  # type: ignore[arg-type]  # fields of several types
    health = health_of(made, ("app", "web"), doors_)
    found = (health.service, health.port, health.path, health.check, health.certain)
    assert found == expected
    assert said_of(doors_, made, ("app", "web")).startswith("page:" if expected[0] else "no page")


def test_a_service_that_is_not_deployed_cannot_be_asked() -> None:
    """The head dropped it, or the meta is wrong; the message names those that there are."""
    with pytest.raises(InvalidRecipeError, match="HEALTH_SERVICE 'web' is not a service") as caught:
        health_of(RecipeMeta(HEALTH_SERVICE="web"), ("app",), ())
    assert "one of app" in caught.value.hint


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (
            "(Host(`b.test`) || Host(`a.test`)) && PathPrefix(`/x`)",
            {("a.test", "/x"), ("b.test", "/x")},
        ),
        ("host(`A.test`) && pathprefix(`/x`)", {("a.test", "/x")}),
        (
            "Host(`a.test`) && (PathPrefix(`/x`) || Path(`/y`))",
            {("a.test", "/x"), ("a.test", "/y")},
        ),
        # traefik/traefik, pull request 13863: what a rule leaves out does not lead to a page
        ("Host(`a.test`) && !(PathPrefix(`/x`) || Host(`b.test`))", {("a.test", "")}),
        ("!(Path(`/x`) && (Path(`/y`) || Path(`/z`))) && Host(`a.test`)", {("a.test", "")}),
        (
            "(Host(`a.test`) && !(PathRegexp(`^/(x|y)`))) || Host(`b.test`)",
            {("a.test", ""), ("b.test", "")},
        ),
    ],
)
def test_rules_with_parentheses(tmp_path: Path, rule: str, expected: set[tuple[str, str]]) -> None:
    """Each host name and each path of a rule counts, in whatever case its matcher is."""
    labels = (f"traefik.http.routers.a.rule={rule}", "traefik.http.routers.a.ruleSyntax=v2")
    found = doors(tmp_path, service("app", *labels, f"{HTTP}.port=80"))
    assert {(door.host, door.prefix) for door in found} == expected


def test_what_an_earlier_page_showed_is_remembered() -> None:
    """Also where the head has no page at all any more."""
    earlier = Page(seen=Seen.PAGE, url="", status=200, routed=True)
    door = Door(service="app", why="the HTTP router a")
    ways: list[tuple[Door, ...]] = [(door,), ()]
    for way in ways:
        health = health_of(RecipeMeta(), ("app",), way, answered="install", earlier=earlier)
        assert (health.answered, health.earlier) == ("install", earlier)
    declared = RecipeMeta(HEALTH_SERVICE=None)
    assert not health_of(declared, ("app",), (), answered="install", earlier=earlier).answered


ON, RULE = "traefik.enable=true", "traefik.http.routers.a.rule=Host(`a.test`)"
NAMED, PORT = "traefik.http.routers.a.service", f"{HTTP}.port=80"
SECOND = f"{HTTP.replace('.a.', '.c.')}.port=81"
THROUGH, MIDDLEWARE = "traefik.http.routers.a.middlewares", "traefik.http.middlewares"
TCP = "traefik.tcp.routers.a.rule=HostSNI(`*`)"


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        ((ON, RULE, PORT), ""),
        (("traefik.enable=T", RULE, PORT), ""),
        ((ON, RULE, PORT, f"{NAMED}=a"), ""),
        ((ON, RULE, PORT, f"{NAMED}=a@swarm"), ""),
        ((ON, RULE, PORT, f"{NAMED}=b"), ""),  # that of another service of the stack
        ((ON, RULE, PORT, f"{NAMED}=x@file"), ""),
        ((ON, RULE, f"{HTTP}.port=web", f"{NAMED}=api@internal"), ""),  # as Traefik's own recipe
        (("traefik.enable=false", RULE), ""),
        ((ON, TCP), ""),
        ((ON, PORT), ""),  # Traefik makes a router itself
        ((ON, RULE, PORT, TCP, "traefik.tcp.services.x.loadbalancer.server.port=25"), ""),
        ((ON, RULE, PORT, f"{THROUGH}="), ""),
        ((ON, RULE, PORT, f"{THROUGH}=gzip@file, s", f"{MIDDLEWARE}.s.addprefix.prefix=/x"), ""),
        ((ON, RULE, PORT, f"{THROUGH}=o"), ""),  # that of the other service
        ((ON, RULE, PORT, "traefik.http.routers.a.ruleSyntax=v2"), ""),
        ((ON, RULE, PORT, "traefik.http.routers.a.tls.domains[0].main=x"), ""),
        ((RULE, PORT), "lacks traefik.enable=true"),
        (("traefik.enable=yes", RULE, PORT), "'yes', which is neither true nor false"),
        (("traefik.enable=", RULE, PORT), "'', which is neither true nor false"),
        ((ON, RULE), "no label gives the port"),
        ((ON, RULE, f"{NAMED}=api@internal"), "no label gives the port"),
        ((ON, RULE, f"{NAMED}=b"), "no label gives the port"),  # of its own, whatever it names
        ((ON, RULE, f"{HTTP}.port="), "no label gives the port"),
        ((ON, RULE, f"{HTTP}.scheme=https"), "no label gives the port"),
        ((ON, RULE, PORT, f"{HTTP.replace('.a.', '.c.')}.scheme=http"), "port of its service c"),
        ((ON, RULE, PORT, TCP), "no label gives the port of the TCP router beside it"),
        ((ON, RULE, f"{HTTP}.port=http"), "the port of its service is 'http'"),
        ((ON, RULE, f"{HTTP}.port=80 "), "the port of its service is '80 '"),
        ((ON, RULE, PORT, SECOND), "none of a, c"),
        ((ON, RULE, PORT, f"{NAMED}=missing"), "no label defines its service missing"),
        ((ON, RULE, PORT, f"{NAMED}=A"), "no label defines its service A"),  # names have a case
        ((ON, RULE, PORT, f"{THROUGH}=missing"), "no label defines its middleware missing"),
        ((ON, RULE, PORT, f"{THROUGH}=O"), "no label defines its middleware O"),
        ((ON, RULE, PORT, f"{THROUGH}=o,"), "an empty item"),
        (
            (ON, RULE, PORT, f"{THROUGH}=s", f"{MIDDLEWARE}.s.chain.middlewares=gone"),
            "no label defines its middleware gone",
        ),
        ((ON, RULE, PORT, "traefik.http.routers.a.entrypoint=web"), "did you mean entrypoints?"),
        ((ON, RULE, PORT, "traefik.http.router.x.rule=Host(`x`)"), "did you mean routers?"),
        ((ON, RULE, PORT, "traefik.http.routers.x.y.rule=Host(`x`)"), "a name without dots"),
        ((ON, "traefik.http.routers.o.rule=Host(`a.test`)", PORT), "defines it differently"),
        ((ON, "traefik.http.routers.a.rule=Host(a.test)", PORT), "its rule cannot be read"),
    ],
)
def test_routers_that_traefik_drops(tmp_path: Path, labels: tuple[str, ...], why: str) -> None:
    """The app's container may answer, and no visitor reaches it; as Traefik 3.7.15 decided."""
    other = service(
        "other", ON, f"{HTTP.replace('.a.', '.b.')}.port=80", f"{MIDDLEWARE}.o.addprefix.prefix=/o",
        "traefik.http.routers.o.rule=Host(`o.test`)",
    )  # fmt: skip
    text = f"services:\n{service('app', *labels)}{other}networks: {{proxy: {{external: true}}}}\n"
    (tmp_path / "compose.yml").write_text(text)
    compose = load(committed(tmp_path), "", {})
    found = [one for one in router_warnings(compose) if "of service app" in one.text]
    assert {one.code for one in found} == ({WarningCode.ROUTER_DROPPED} if why else set())
    assert all(why in one.text for one in found)
    ways = find(compose, domain="a.test", stack=STACK, asked_for=False)
    assert not (why and any(door.routes("a.test") for door in ways if door.service == "app"))
    assert labels != (ON, RULE, PORT) or ways[0].routes("a.test")


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ("Host(`a.b`)", ""),
        ("Host(`a.b`, `c.d`)", ""),  # version 2
        ("HOST(`a.b`)", ""),
        ('host("a.b")', ""),
        ("(Host(`a.b`) || Host(`c.d`)) && !PathPrefix(`/y`)", ""),
        ("Host(`a.b`)||Host( `c.d` )", ""),
        ("HostRegexp(`{sub:.*}.a.b`)", ""),
        ("Headers(`a`,`b`) && Header(`a`,`b`)", ""),
        ("  Host(`a.b`)  ", ""),
        ("", ""),
        (" ", "is not a matcher"),
        ("Host(a.b)", "is not a matcher"),
        ("Host('a.b')", "is not a matcher"),
        ("Host(`a.b`", "is not a matcher"),
        ("Host(`a.b`))", "is not a matcher"),
        ("Host`a.b`", "is not a matcher"),
        ("Host:a.b", "is not a matcher"),
        ("Host(`a.b`) || ", "is not a matcher"),
        ("Host(`a.b`) PathPrefix(`/x`)", "is not a matcher"),
        ("Host(`a.b`) & PathPrefix(`/x`)", "is not a matcher"),
        ("Host(`a.b`) and PathPrefix(`/x`)", "is not a matcher"),
        ("Host(`a.b` `c.d`)", "is not a matcher"),
        ("Hosts(`a.b`)", "there is no matcher Hosts"),
        ("pathPrefix(`/x`)", "there is no matcher pathPrefix"),
        ("HostSNI(`a.b`)", "there is no matcher HostSNI"),
        ("Host(``)", "an empty value"),
        ("Host()", "an empty value"),
        ("Host(`a.b`) || Host(``)", "an empty value"),
        ("Host(`a.b`) && PathPrefix(`x`)", "begins with /"),
        ("Host(`münchen.de`)", "ASCII"),
    ],
)
def test_rules_that_traefik_refuses(rule: str, why: str) -> None:
    """In either of its two syntaxes; what only one of them takes is the server's affair."""
    assert bool(problem(rule)) == bool(why)
    assert why in problem(rule)


@pytest.mark.parametrize(
    ("asked_for", "labels", "certain"),
    [
        (True, (), True),
        (False, (), False),
        (True, ("traefik.tcp.routers.x.rule=HostSNI(`*`)",), False),  # a chat or mail server
    ],
)
def test_a_recipe_that_asks_for_a_domain_has_a_page(
    tmp_path: Path, *, asked_for: bool, labels: tuple[str, ...], certain: bool
) -> None:
    """Else an app on the network of the proxy that never listens would pass with a warning."""
    (door,) = doors(tmp_path, service("app", *labels), asked_for=asked_for)
    assert door.certain == certain
