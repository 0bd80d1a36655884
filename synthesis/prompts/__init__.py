"""Prompts, one versioned file each, and how they are rendered."""
