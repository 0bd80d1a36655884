"""What can a model learn from it, and how good is it? Targets, the estimator, scores and evaluation."""
