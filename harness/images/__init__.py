"""Stand-ins for images that no registry in reach serves, and the sample recipes."""
