"""What makes a bare machine enough: private engine, images, sample recipes."""
