"""What a person sees while a command runs, and how it stops."""
