"""Everything that a person can set: `odds.toml` and the environment."""
