"""The estimator: its base, its level tokens, its device."""
