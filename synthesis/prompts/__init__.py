"""One versioned file a prompt."""
