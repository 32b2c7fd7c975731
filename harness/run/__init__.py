"""One run of one recipe: its names, its course, and the facts that its verdict rests on."""
