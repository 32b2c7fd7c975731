"""One page for all recipes, made of run directories: static files and badges."""
