"""Label Studio as the settings describe it: the connection, its projects, and what is shown there."""
