"""The exception for calls that are not sent. Errors for the user are in `warehouse.errors`."""

from __future__ import annotations


class StoppedError(Exception):
    """This call is not sent: the run is being stopped, or a batch holds the call."""
