"""The DuckLake catalog: opened, migrated, read, written, kept small."""
