"""The same calls through an endpoint's batch interface."""
