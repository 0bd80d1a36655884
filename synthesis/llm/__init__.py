"""How a model is called: the client, its limits, breaker and budget, and what errors mean."""
