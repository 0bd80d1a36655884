"""The command line: how a command starts, reports and ends."""
