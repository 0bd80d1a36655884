"""What do we know, since when, and how sure are we? The DuckLake catalog, agreement, consensus and shards."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from warehouse.catalog.connect import Warehouse, open_warehouse

__all__ = ["Warehouse", "open_warehouse"]


def __getattr__(name: str) -> object:
    """Import DuckDB on first use only: code that needs just the records does without it."""
    if name in __all__:
        from warehouse.catalog import connect

        return getattr(connect, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
