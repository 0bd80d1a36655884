"""Every reply is kept before it is used, in SQLite or PostgreSQL."""
