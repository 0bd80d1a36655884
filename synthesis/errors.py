"""What keeps a call from being sent. Errors that a person meets are in `warehouse.errors`."""

from __future__ import annotations


class StoppedError(Exception):
    """This is not sent: the run is being stopped, while what is under way is finished, or a batch holds it."""
