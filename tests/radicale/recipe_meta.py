"""What the harness has to know of radicale."""

HEALTH_PATH = "/.web/"
MARKER = "Radicale"
