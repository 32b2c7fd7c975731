"""Names of networks that every machine has, or that every recipe may count on."""

PROXY = "proxy"  # on which a reverse proxy reaches apps: the one external network of every recipe
# Swarm and the engine know these by their names, and no other can take their place.
BUILT_IN = frozenset({"bridge", "host", "none", "ingress", "docker_gwbridge"})
