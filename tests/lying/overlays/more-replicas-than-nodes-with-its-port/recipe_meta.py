"""What the recipe may ask of the host."""

HOST_ACCESS = {"port:18474": "a port of the node"}
