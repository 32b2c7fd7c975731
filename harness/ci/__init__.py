"""What a CI needs: pull requests at a forge, and jobs for many recipes."""
