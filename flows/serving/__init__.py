"""The server of `odds serve`: the application, the requests it accepts, and the thread that scores."""
