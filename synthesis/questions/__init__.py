"""What is asked: proposals, derived texts, estimates, comparisons and verdicts, and how replies are parsed."""
