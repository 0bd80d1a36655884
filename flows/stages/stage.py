"""Stages: plain functions at a terminal, and Prefect flows if the environment names a Prefect server.

A stage never starts a server. Prefect takes seconds to load, so it is loaded only if it is used.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, update_wrapper
from inspect import signature
from typing import TYPE_CHECKING, Generic, ParamSpec, TypeVar

from flows.settings.settings import Settings
from flows.stages.recording import is_recorded

if TYPE_CHECKING:
    from prefect import Flow

P = ParamSpec("P")
R = TypeVar("R")


class Stage(Generic[P, R]):
    """A function that Prefect can run as a flow of the same name.

    `fn` is the function itself. `hours` limits a run on Prefect. A stage that `asks` models creates its own artifact
    and is not retried as a whole, since its requests are retried one by one. A stage that is not `retried` runs other
    stages, which are.
    """

    def __init__(self, fn: Callable[P, R], name: str, *, hours: float, asks: bool, retried: bool) -> None:
        self.fn, self.name, self.hours, self.asks, self.retried = fn, name, hours, asks, retried
        update_wrapper(self, fn)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run it: on Prefect if a server is named or inside another flow, otherwise directly.

        Settings don't pass through Prefect, which would store them with the secrets of the environment.

        Raises:
            ServiceError: it took longer than its hours, or the Prefect server no longer answers.
        """
        if not is_recorded():
            return self.fn(*args, **kwargs)
        from flows.stages.on_prefect import in_time, reached

        given = signature(self.fn).bind(*args, **kwargs).arguments
        settings = given.pop("config") if isinstance(given.get("config"), Settings) else None
        with reached(), in_time(self.name, self.hours):
            done: R = self._flow(settings)(**given)
            return done

    @cached_property
    def flow(self) -> Flow[..., R]:
        """The Prefect flow."""
        return self._flow()

    def _flow(self, settings: Settings | None = None) -> Flow[..., R]:
        from flows.stages.on_prefect import flow_of

        return flow_of(
            self.fn,
            self.name,
            hours=self.hours,
            asks=self.asks,
            retried=self.retried and not self.asks,
            settings=settings,
        )


def stage(
    name: str, *, hours: float = 12, asks: bool = False, retried: bool = True
) -> Callable[[Callable[P, R]], Stage[P, R]]:
    """Make a function a stage of this name; see `Stage`."""
    return lambda fn: Stage(fn, name, hours=hours, asks=asks, retried=retried)
