"""Annotators: inviting, qualifying, watching and paying them."""
