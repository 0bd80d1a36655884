"""Stages: plain functions at a terminal, and Prefect flows where the environment names a Prefect server.

A stage never starts a server of its own. Prefect takes seconds to load, so it is loaded only where it is used.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import cached_property, update_wrapper
from typing import TYPE_CHECKING, Generic, ParamSpec, TypeVar

if TYPE_CHECKING:
    from prefect import Flow

P = ParamSpec("P")
R = TypeVar("R")

API_URL = "PREFECT_API_URL"
RUN_ID = "PREFECT__FLOW_RUN_ID"
"""The variable that a Prefect worker sets for the run that it starts."""


class Stage(Generic[P, R]):
    """A function that a person calls, and that Prefect runs as a flow of the same name.

    `fn` is the function itself. `hours` bounds a run on Prefect. A stage that `asks` models keeps its own artifact, and
    is not tried again as a whole: its requests are, one by one.
    """

    def __init__(self, fn: Callable[P, R], name: str, *, hours: float, asks: bool) -> None:
        self.fn, self.name, self.hours, self.asks = fn, name, hours, asks
        update_wrapper(self, fn)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run it: on Prefect where a server is named or a flow is under way, else here and now."""
        if not is_recorded():
            return self.fn(*args, **kwargs)
        from flows.recorded import reached

        with reached():
            return self.flow(*args, **kwargs)

    @cached_property
    def flow(self) -> Flow[P, R]:
        """The Prefect flow."""
        from flows.recorded import flow_of

        return flow_of(self)


def stage(name: str, *, hours: float = 12, asks: bool = False) -> Callable[[Callable[P, R]], Stage[P, R]]:
    """Make a function a stage of this name; see `Stage`."""
    return lambda fn: Stage(fn, name, hours=hours, asks=asks)


def is_recorded() -> bool:
    """Whether Prefect keeps a record of what runs here."""
    return bool(os.environ.get(API_URL)) or is_deployed() or in_flow_run()


def is_deployed() -> bool:
    """Whether a Prefect worker has started this process to run a deployment."""
    return bool(os.environ.get(RUN_ID))


def in_flow_run() -> bool:
    """Whether a flow is under way in this context."""
    if "prefect" not in sys.modules:
        return False
    from prefect.context import FlowRunContext

    return FlowRunContext.get() is not None
