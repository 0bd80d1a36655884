"""Propositions out to Label Studio, judgments back."""
