"""The head imports the uploads elsewhere."""

MAX_LOSS = {"content/uploads": 1}
