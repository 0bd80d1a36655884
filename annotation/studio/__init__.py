"""Label Studio: its client, and the embedded server."""
