"""The text that only this app's own page has."""

MARKER = "<title>Our wiki</title>"
