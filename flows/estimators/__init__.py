"""Estimators by name, their own estimates, and the card of one that other programs load."""
