"""What is asked: proposals, derived texts, estimates, comparisons and verdicts, with prompts and parsing."""
