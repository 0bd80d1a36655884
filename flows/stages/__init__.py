"""What every stage is made of: a function that Prefect can run, its outcome, and the services that it opens."""
