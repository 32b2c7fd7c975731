"""Leaves: what every other package may import, and what imports nothing but other leaves."""
