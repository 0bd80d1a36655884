"""Annotators' accounts, and simulated annotators."""
