"""A person's files, read into records and written from queries."""
