# Raise these with every change of the file each stands for: Swarm never changes a config in place.
export CONFIG_VERSION=v1
export ENTRYPOINT_VERSION=v1
