"""Recipes that are small to send and large, or slow, to read; each as the files of one commit."""

from collections.abc import Callable, Mapping

Files = Mapping[str, bytes]
ENV = b"TYPE=made\nDOMAIN=made.example.com\nLETS_ENCRYPT_ENV=production\n"
COMPOSE = b'version: "3.8"\nservices:\n  app:\n    image: nginx:1.27.4\n'
# What each limit is called where it ends the run; empty: it can be read all the same.
FILE, TEXT, VALUES, TIME, NESTING = (
    "more than the limit of", "comes to more than the limit", "holds too many values",
    "took more than", "nesting",
)  # fmt: skip


def recipe(*, env: str = "", compose: str = "", **more: str) -> Files:
    """Return a sound recipe with more in its files; `compose_b_yml` is `compose.b.yml`."""
    return {
        ".env.sample": ENV + env.encode(),
        "compose.yml": COMPOSE + compose.encode(),
        **{name.replace("_", "."): text.encode() for name, text in more.items()},
    }


def many(line: str, size: int = 500_000) -> str:
    """Return a line again and again, `#` being its number, up to that size."""
    lines, room, number = list[str](), size, 0
    while (room := room - len(one := line.replace("#", str(number)))) >= 0:
        lines.append(one)
        number += 1
    return "".join(lines)


def labels(*lines: str) -> str:
    """Return a service's labels."""
    return "    deploy:\n      labels:\n" + "".join(f"        - '{line}'\n" for line in lines)


def routed(rule: str) -> str:
    """Return the labels of a router."""
    port = "traefik.http.services.a.loadbalancer.server.port=80"
    return labels(f"traefik.http.routers.a.rule={rule}", port)


def overlays(count: int) -> str:
    """Return a line of `.env.sample` that names so many further compose files."""
    names = "".join(f":compose.{n}.yml" for n in range(count))
    return f'\nCOMPOSE_FILE="compose.yml{names}"\n'


def laughs() -> str:
    """Return aliases, each of which is ten of the one before it."""
    lines = [f"x{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)]
    return "x0: &a0 [lol, lol]\n" + "".join(lines)


# fmt: off
BOMBS: Mapping[str, tuple[str, Callable[[], Files]]] = {
    "variables-that-multiply": (TEXT, lambda: recipe(
        env="A0=xxxxxxxxxx\n" + "".join(f"A{n}={f'${{A{n - 1}}}' * 10}\n" for n in range(1, 12))
    )),
    "settings-of-9-mb": (FILE, lambda: recipe(env=many("V#=x\n", 9_000_000))),
    "settings-of-many-lines": ("", lambda: recipe(env=many("V#=\n", 160_000))),
    "settings-in-defaults": (TIME, lambda: recipe(env='A="' + "${B:-" * 40_000 + '"\n')),
    "settings-of-blanks": ("", lambda: recipe(
        env="A=" + " " * 100_000 + "x\n" + "B=x" + "\t" * 100_000
    )),
    "settings-of-unclosed-quotes": ("", lambda: recipe(
        env=many("V#='\n", 99_000)
    )),
    "secrets-without-end": ("more than the limit of 200", lambda: recipe(
        env=many("SECRET_S#_VERSION=v1\n", 200_000)
    )),
    "exports-of-2-mb": ("characters, more than", lambda: recipe(
        abra_sh=many("export V#=x\n", 1_900_000)
    )),
    "exports-without-end": ("", lambda: recipe(abra_sh=many("export V#=x\n", 250_000))),
    "exports-in-one-line": ("", lambda: recipe(abra_sh="export " + many("V#=x ", 250_000))),
    "exports-of-quotes": ("", lambda: recipe(abra_sh="export A=" + "'\"" * 120_000)),
    "function-of-a-long-name": ("", lambda: recipe(abra_sh="a" * 250_000)),
    "aliases-that-multiply": (VALUES, lambda: {
        ".env.sample": ENV, "compose.yml": laughs().encode() + COMPOSE + b"    command: *a11\n",
    }),
    "aliases-of-300-kb": (VALUES, lambda: recipe(
        compose="    labels: &a {" + many("l#: x, ", 150_000) + "}\n"
        "    environment:\n" + many("      - *a\n", 300_000)
    )),
    "merges-that-multiply": ("keys", lambda: recipe(
        compose="    labels: &a\n" + many("      l#: x\n", 200_000)
        + "x:\n" + many("  m#: {<<: *a}\n", 200_000)
    )),
    "merges-of-merges": ("keys", lambda: recipe(
        compose="    labels: &a0\n" + many("      l#: x\n", 100_000)
        + "x:\n" + "".join(f"  m{n}: &a{n + 1} {{<<: *a{n}, k{n}: x}}\n" for n in range(9_000))
    )),
    "brackets-without-end": (NESTING, lambda: recipe(compose="    command: " + "[" * 500_000)),
    "braces-without-end": (NESTING, lambda: recipe(compose="    command: " + "{a: " * 120_000)),
    "blocks-without-end": ("nested too deeply", lambda: recipe(
        compose="    command:\n" + "".join(f"{' ' * (n + 5)}-\n" for n in range(900))
    )),
    "anchors-given-twice": ("", lambda: recipe(
        compose="    command:\n" + many("      - &a x\n", 120_000)
    )),
    "anchors-given-often": ("for such a file", lambda: recipe(
        compose="    command:\n" + many("      - &a x\n")
    )),
    "keys-without-end": ("", lambda: recipe(compose="    environment:\n" + many("      V#: x\n"))),
    "a-text-of-dollars": ("", lambda: recipe(compose="    command: '" + "$$" * 250_000 + "'\n")),
    "a-number-of-500-kb": ("not of the type", lambda: recipe(
        compose="    command: [" + "1" * 500_000 + "]\n"
    )),
    "underscores-in-a-number": ("line", lambda: recipe(
        compose="    command: [" + "1_" * 240_000 + ":]\n"
    )),
    "a-variable-used-often": (TEXT, lambda: recipe(
        env="A=" + "x" * 200_000 + "\n", compose="    command: '" + "${A}" * 120_000 + "'\n"
    )),
    "variables-in-defaults": ("", lambda: recipe(
        compose="    command: '" + "${A:-" * 80_000 + "}" * 80_000 + "'\n"
    )),
    "a-file-named-often": ("compose files", lambda: recipe(
        env='COMPOSE_FILE="' + "compose.yml:" * 19_000 + '"\n'
    )),
    "overlays-of-500-kb": (VALUES, lambda: recipe(
        env=overlays(45),
        **{f"compose_{n}_yml": "version: '3.8'\nservices:\n  app:\n    environment:\n"
           + many("      V#: x\n") for n in range(45)},
    )),
    "overlays-of-many-variables": (TEXT, lambda: recipe(
        env="A=" + "x" * 100_000 + overlays(4),
        **{f"compose_{n}_yml": "version: '3.8'\nservices:\n  app:\n    environment:\n"
           + "".join(f"      V{n}_{i}: ${{A}}\n" for i in range(70)) for n in range(4)},
    )),
    "overlays-of-many-volumes": (VALUES, lambda: recipe(
        env=overlays(45),
        **{f"compose_{n}_yml": "version: '3.8'\nvolumes:\n" + many(f"  v{n}-#: \n", 400_000)
           for n in range(45)},
    )),
    "labels-of-a-long-name": (TEXT, lambda: recipe(compose=(
        "    labels: &a {? '" + "k" * 400_000 + "' : x}\n    deploy: &d {labels: *a}\n"
        + "".join(f"  a{n}: {{image: x, labels: *a, deploy: *d}}\n" for n in range(90))
        + "volumes:\n" + "".join(f"  v{n}: {{labels: *a}}\n" for n in range(190))
    ))),
    "faces-in-a-variable": ("", lambda: recipe(
        env="A=" + "\U0001f600" * 60_000 + "\n",
        compose="    environment:\n" + "".join(f"      V{n}: x${{A}}\n" for n in range(62)),
    )),
    "env-files-without-end": (VALUES, lambda: recipe(
        compose="".join(f"  a{n}: {{image: x, env_file: e}}\n" for n in range(90)),
        e=many("V#=\n", 1_900_000),
    )),
    "settings-for-each-service": (TEXT, lambda: recipe(
        env="A=" + "x" * 200_000 + "\n",
        compose="".join(f"  a{n}: {{image: x, environment: [A]}}\n" for n in range(90)),
    )),
    "configs-of-one-file": ("configs and secrets come to", lambda: recipe(
        compose="configs:\n" + "".join(f"  c{n}: {{file: c}}\n" for n in range(150)),
        c="x" * 1_000_000,
    )),
    "networks-without-end": ("networks, more than", lambda: recipe(
        compose="networks:\n" + "".join(f"  n{n}: \n" for n in range(9_000))
    )),
    "replicas-without-end": ("replicas, more than", lambda: recipe(
        compose="    deploy: {mode: replicated-job, replicas: 1e+6}\n"
    )),
    "subnets-of-all-addresses": ("addresses, more than", lambda: recipe(
        compose="networks: {n: {ipam: {config: [{subnet: 10.128.0.0/9}]}}}\n"
    )),
    "ports-without-end": ("ports", lambda: recipe(
        compose="    ports:\n" + "".join(f"      - {{target: {n}}}\n" for n in range(20_000))
    )),
    "mounts-without-end": ("mounts, more than", lambda: recipe(
        compose="    volumes:\n" + many("      - /m#\n")
    )),
    "subnets-without-end": ("addresses, more than", lambda: recipe(
        compose="networks:\n  n:\n    ipam:\n      config:\n" + "".join(
            f"        - {{subnet: 10.{n >> 8}.{n & 255}.0/24}}\n" for n in range(10_000)
        )
    )),
    "a-router-of-parentheses": ("", lambda: recipe(
        compose=routed("(" * 200_000 + "Host(`a`)" + ")" * 200_000)
    )),
    "a-router-of-hosts": ("", lambda: recipe(
        compose=routed(f"Host({'`a`,' * 900}`b`) && Path({'`/a`,' * 900}`/b`)")
    )),
    "a-router-of-alternatives": ("", lambda: recipe(
        compose=routed("Host(`a`) || " * 35_000 + "Host(`b`)")
    )),
    "backup-labels-without-end": ("", lambda: recipe(
        compose="    deploy:\n      labels:\n        backupbot.backup: 'true'\n"
        + many("        backupbot.backup.volumes.v#.path: x\n")
    )),
    "zeros-in-a-duration": ("", lambda: recipe(
        env='COMPOSE_FILE="compose.yml:compose.b.yml"\n',
        compose="    healthcheck: {test: 'true', interval: 1s}\n",
        compose_b_yml="version: '3.8'\nservices:\n  app:\n    healthcheck: {interval: '"
        + "0" * 40_000 + "!'}\n",
    )),
    "a-template-without-end": ("", lambda: {
        **recipe(compose="    configs: [c]\nconfigs:\n  c: {file: c, template_driver: golang}\n"),
        "c": b"{{ if (env " * 80_000,
    }),
    "a-readme-of-markers": ("", lambda: recipe(README_md=many("<!-- metadata -->", 1_900_000))),
    "a-readme-of-empty-lines": ("", lambda: recipe(
        README_md="<!-- metadata -->" + "\n" * 1_900_000 + "<!-- endmetadata -->"
    )),
    "configs-of-150-mb": ("files come to", lambda: {
        **recipe(compose="configs:\n" + "".join(f"  c{n}: {{file: c{n}}}\n" for n in range(150))),
        **{f"c{n}": bytes([65 + n % 26]) * 1_020_000 + str(n).encode() for n in range(150)},
    }),
    "tests-of-50-mb": ("", lambda: {
        **recipe(), **{f"tests/t{n}.bin": bytes([n]) * 999_000 + b"x" for n in range(50)}
    }),
    "a-version-of-400-kb": ("", lambda: recipe(
        compose=labels("coop-cloud.made_test.version=" + "1" * 400_000 + ".0.0+1")
    )),
    "time-outs-of-400-kb": ("", lambda: recipe(
        compose=labels("coop-cloud.made_test.timeout=" + "1" * 400_000 + "h")
    )),
    "a-port-of-400-kb": ("", lambda: recipe(
        compose=routed("Host(`a`)").replace("port=80", "port=" + "8" * 400_000)
    )),
    "a-number-of-400-digits": ("", lambda: recipe(
        compose="    command: [" + "1" * 400 + ", 0x" + "f" * 400_000 + "]\n"
    )),
}
# fmt: on
# Left to the night: what takes seconds, or does what a quicker one does by the same means.
SLOW = frozenset(
    {
        *("settings-of-9-mb", "settings-of-many-lines", "settings-in-defaults"),
        *("settings-of-unclosed-quotes", "exports-without-end", "exports-in-one-line"),
        *("aliases-of-300-kb", "merges-that-multiply", "merges-of-merges", "braces-without-end"),
        *("anchors-given-twice", "keys-without-end", "underscores-in-a-number"),
        *("overlays-of-500-kb", "ports-without-end", "mounts-without-end"),
        *("overlays-of-many-volumes", "env-files-without-end"),
        *("a-router-of-hosts", "backup-labels-without-end", "a-readme-of-empty-lines"),
        *("configs-of-150-mb", "tests-of-50-mb"),
    }
)
