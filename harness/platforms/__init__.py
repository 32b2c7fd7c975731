"""What deploys a recipe: one module per platform behind one protocol."""
