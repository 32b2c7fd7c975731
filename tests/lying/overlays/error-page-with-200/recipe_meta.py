"""The text that the app's page has when it works."""

MARKER = "Welcome"
