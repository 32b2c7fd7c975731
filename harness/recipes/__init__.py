"""Recipes as data: the catalogue, the repository, its releases, its files."""
