"""What a recipe may ask of the host: nothing, unless the owner of the machine allows it."""
