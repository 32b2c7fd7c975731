"""What the recipe may ask of the host."""

HOST_ACCESS = {"bind:/var/run/docker.sock": "asks the engine"}
