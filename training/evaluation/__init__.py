"""How good is an estimator? Metrics, suites and the report."""
