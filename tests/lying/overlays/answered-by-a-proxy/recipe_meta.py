"""The router leads to a service in front of the app."""

HEALTH_SERVICE = "app"
