"""How a stage runs its requests: the plan, the run, the writer, progress and the account."""
