"""The app removes files that it does not know."""

NO_WITNESS = {"content": "the app removes files that it does not know"}
