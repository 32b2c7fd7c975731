"""What will run and why the rest will not: pure data."""
