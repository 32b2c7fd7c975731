"""What the recipe may ask of the host."""

HOST_ACCESS = {"log-driver:loki": "a driver that no node has"}
