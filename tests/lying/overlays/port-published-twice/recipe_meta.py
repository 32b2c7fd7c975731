"""What the recipe may ask of the host."""

HOST_ACCESS = {"port:18473": "published twice"}
