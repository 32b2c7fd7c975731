"""Leaves: what every other part may import, and what imports nothing but other leaves."""
