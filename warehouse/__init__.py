"""What do we know, since when, and how sure are we? The DuckLake catalog, agreement, consensus and shards."""
