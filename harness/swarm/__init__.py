"""Typed reads of a Swarm: what runs, whether it has settled, what failed, and whose fault it is."""
