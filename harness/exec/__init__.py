"""Commands and HTTP requests in the app's containers, and a client that can only look."""
