"""How a model is called: one client with its limits, its breaker, its budget and its errors."""
