"""The private engine, and what an engine and its nodes must have."""
