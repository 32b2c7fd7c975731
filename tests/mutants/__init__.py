"""Whether the unit suite notices a fault: each mutant is the project with one fault put in."""
