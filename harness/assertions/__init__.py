"""Running pytest against an app that is already up."""
