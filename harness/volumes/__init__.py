"""What the app's volumes hold, and what it writes beside them."""
