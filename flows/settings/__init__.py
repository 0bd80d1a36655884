"""Everything that can be set: `odds.toml` and the environment."""
