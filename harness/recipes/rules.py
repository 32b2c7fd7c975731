"""The rules of Traefik's HTTP routers: what they take, and which of them Traefik refuses. Pure.

A rule is refused here only if Traefik refuses it in both of its syntaxes, that of version 2 and
that of version 3: a server may use either. See docs/decisions/0034-which-page-is-asked.md.
"""

from __future__ import annotations

import re

LONGEST = 10_000  # characters of a rule: taking it apart takes time by its square
MOST_VALUES = 100  # hosts, and paths, of a rule's part that are asked for
_NAMES = (
    *("Host", "HostHeader", "HostRegexp", "Path", "PathPrefix", "PathRegexp", "Method"),
    *("Header", "Headers", "HeaderRegexp", "HeadersRegexp", "Query", "QueryRegexp", "ClientIP"),
)
KNOWN = frozenset(one for name in _NAMES for one in (name, name.lower(), name.upper()))
_TEXT = r"`[^`]*`|\"(?:[^\"\\]|\\.)*\""
_CALL = re.compile(
    rf"(?P<kind>[A-Za-z]+)\s*\(\s*(?P<values>(?:(?:{_TEXT})(?:\s*,\s*(?:{_TEXT}))*\s*,?)?)\s*\)"
)
_VALUE = re.compile(_TEXT)
_READ = "\0"  # stands for a matcher, or for several that are joined
_JOINED = re.compile(rf"!\s*{_READ}|\(\s*{_READ}\s*\)|{_READ}\s*(?:&&|\|\|)\s*{_READ}")
# What is left after this is inside at most two pairs of parentheses more.
_INSIDE = r"(?:[^()]|\((?:[^()]|\([^()]*\))*\))*"
_NOT_THESE = re.compile(rf"(?:&&\s*)?!\s*\({_INSIDE}\)")
_MATCHER = re.compile(r"(?P<not>!?)\s*(?P<kind>[A-Za-z]+)\((?P<values>[^()]*)\)")


def problem(rule: str) -> str:
    """Return why Traefik refuses a rule, or empty; without any rule it uses one of its own."""
    if not rule:
        return ""
    if len(rule) > LONGEST:
        return f"its rule has {len(rule)} characters, more than the {LONGEST} that are read here"
    for call in _CALL.finditer(rule):
        if wrong := _wrong(call["kind"], _values(call["values"])):
            return wrong
    read = _CALL.sub(_READ, rule)
    while (shorter := _JOINED.sub(_READ, read)) != read:
        read = shorter
    if read.strip() == _READ:
        return ""
    return f"{rule} is not a matcher such as Host(`NAME`), nor matchers joined by && and ||"


def _wrong(kind: str, values: list[str]) -> str:
    if kind not in KNOWN:
        return f"there is no matcher {kind}"
    if not all(values) or not values:
        return f"{kind} has an empty value, as where a variable is not set"
    if kind.lower() in ("path", "pathprefix") and not all(one.startswith("/") for one in values):
        return f"{kind} needs a path that begins with /"
    if kind.lower() == "host" and not all(map(str.isascii, values)):
        return f"{kind} takes ASCII only: write the name as xn--..."
    return ""


def _values(text: str) -> list[str]:
    return [value[1:-1] for value in _VALUE.findall(text)]


def alternatives(rule: str) -> list[tuple[str, str]]:
    """Return the host names and paths that a rule takes; empty texts where it takes any."""
    found: list[tuple[str, str]] = []
    for part in _split(_NOT_THESE.sub("", rule)):
        hosts, paths = list[str](), list[str]()
        for match in _MATCHER.finditer(part):
            values = [one for one in _values(match["values"]) if one and not set("{}") & set(one)]
            if match["not"] or not values:
                continue
            if match["kind"].lower() == "host":
                hosts += values
            elif match["kind"].lower() in ("pathprefix", "path"):
                paths += values
        found += [
            (host.lower(), "" if path == "/" else path)
            for host in hosts[:MOST_VALUES] or [""]
            for path in paths[:MOST_VALUES] or [""]
        ]
    return list(dict.fromkeys(found))


def _split(rule: str) -> list[str]:
    """Split a rule at the `||` that stand outside all parentheses."""
    parts, depth, start = [], 0, 0
    for place, character in enumerate(rule):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if not depth and rule.startswith("||", place):
            parts.append(rule[start:place])
            start = place + 2
    return [*parts, rule[start:]]
