"""How an estimator is fitted: the loop, the loss, the clock, the record."""
