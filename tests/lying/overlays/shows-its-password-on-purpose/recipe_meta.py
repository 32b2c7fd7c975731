"""The secret that the app shows at its first start."""

KNOWN_LEAKS = {"admin_password": "shown once in the log, for the first login"}
