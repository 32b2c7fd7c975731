"""What the harness has to know of custom-html."""

HEALTH_PATH = "/healthz"
MARKER = "x-served-by: custom-html"
