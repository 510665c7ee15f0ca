"""``/system``: what the service is doing, for people and pages."""
