"""What do people answer, and how well? The Label Studio project, its tasks and its judgments."""
