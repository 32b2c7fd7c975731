"""What backs an app up and restores it: one module per driver behind one protocol."""
