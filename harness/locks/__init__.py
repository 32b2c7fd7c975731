"""Locks on files and in the Swarm."""
