"""What runs when, and how does a person start it? The flows, the settings and the command line."""
