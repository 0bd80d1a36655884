"""Everything that can be set: `odds.toml` and the environment."""

from flows.settings.settings import Settings, load_settings

__all__ = ["Settings", "load_settings"]
