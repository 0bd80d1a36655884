"""Every reply is kept before it is used: on SQLite or PostgreSQL."""
