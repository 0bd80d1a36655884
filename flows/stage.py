"""Stages: plain functions at a terminal, and Prefect flows where the environment names a Prefect server.

A stage never starts a server of its own. Prefect takes seconds to load, so it is loaded only where it is used.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, update_wrapper
from inspect import signature
from typing import TYPE_CHECKING, Generic, ParamSpec, TypeVar

from flows.recording import is_recorded
from flows.settings.settings import Settings

if TYPE_CHECKING:
    from prefect import Flow

P = ParamSpec("P")
R = TypeVar("R")


class Stage(Generic[P, R]):
    """A function that a person calls, and that Prefect runs as a flow of the same name.

    `fn` is the function itself. `hours` bounds a run on Prefect. A stage that `asks` models keeps its own artifact, and
    is not tried again as a whole: its requests are, one by one.
    """

    def __init__(self, fn: Callable[P, R], name: str, *, hours: float, asks: bool) -> None:
        self.fn, self.name, self.hours, self.asks = fn, name, hours, asks
        update_wrapper(self, fn)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run it: on Prefect where a server is named or a flow is under way, else here and now.

        Settings do not pass through Prefect, which would store them with the secrets of the environment in them.
        """
        if not is_recorded():
            return self.fn(*args, **kwargs)
        from flows.recorded import reached

        given = signature(self.fn).bind(*args, **kwargs).arguments
        settings = given.pop("config") if isinstance(given.get("config"), Settings) else None
        with reached():
            return self._flow(settings)(**given)

    @cached_property
    def flow(self) -> Flow[..., R]:
        """The Prefect flow."""
        return self._flow()

    def _flow(self, settings: Settings | None = None) -> Flow[..., R]:
        from flows.recorded import flow_of

        return flow_of(self.fn, self.name, hours=self.hours, asks=self.asks, settings=settings)


def stage(name: str, *, hours: float = 12, asks: bool = False) -> Callable[[Callable[P, R]], Stage[P, R]]:
    """Make a function a stage of this name; see `Stage`."""
    return lambda fn: Stage(fn, name, hours=hours, asks=asks)
