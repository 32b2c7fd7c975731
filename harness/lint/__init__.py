"""The rules of `abra recipe lint`: by abra where there is one, else those that need no network."""
