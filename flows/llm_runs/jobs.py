"""What a stage asks of models, and what it may cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import inf

from flows.llm_runs.artifact import Figures
from flows.settings.settings import Settings
from flows.stages.outcome import Outcome
from synthesis.panel.settings import ModelConfig, prices_of
from synthesis.questions.question import Question
from warehouse.errors import InputError


@dataclass(frozen=True)
class Job:
    """The questions for one model config: `count` of them, which `questions` yields from the start on each call.

    `what` tells it from other jobs of the same config.
    """

    config: ModelConfig
    count: int
    questions: Callable[[], Iterator[Question]]
    what: str = ""

    @property
    def name(self) -> str:
        """The job, for the user."""
        return f"{self.config.name}, {self.what}" if self.what else self.config.name


@dataclass(frozen=True)
class RunOptions:
    """What a run may cost, in the currency of the prices, and whether it uses the batch interface.

    `before` is the outcome of the stage so far: it counts towards the cost, and the new outcome covers both. `figures`
    collects what the artifact of the stage says besides.
    """

    max_cost: float | None = None
    batch: bool = False
    before: Outcome | None = None
    figures: Figures = field(default_factory=Figures)


def check_prices(settings: Settings, jobs: Sequence[Job], options: RunOptions) -> None:
    """Checks that the limit of cost, if there is one, can be kept.

    Raises `InputError` if the limit is not a non-negative number, or if a model config has no prices or nothing that
    bounds the length of a reply.
    """
    if options.max_cost is None:
        return
    if not 0 <= options.max_cost < inf:
        raise InputError(f"--max-cost: {options.max_cost} must be a non-negative number")
    for config in (each.config for each in jobs):
        endpoint = settings.endpoint_of(config)
        for name, price in zip(("price_in", "price_out"), prices_of(endpoint, config), strict=True):
            if price is None:
                raise InputError(
                    f"--max-cost: {config.name} has no {name}; set it there or for the endpoint {endpoint.name}"
                )
        if "max_tokens" in config.omit and "max_completion_tokens" not in config.extra:
            raise InputError(
                f"--max-cost: {config.name} omits max_tokens, so nothing bounds the cost of a reply; "
                "send it, or max_completion_tokens in extra"
            )
