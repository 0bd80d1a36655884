"""How long a fit takes: the cost of steps and evaluations, the time left, and when a time limit ends it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from training.model.packing import Indices

FORWARD_SHARE = 1 / 3
"""An evaluation has no backward pass, which takes about two thirds of a step."""


class Pace:
    """The clock of a fit.

    Cost is counted in the tokens that a step adds to what all prompts share, since batches of short and long prompts
    differ a lot.

    Args:
        step_tokens: The tokens [steps] of each step, in order.
        dev_tokens: The tokens of one evaluation on dev.
        looks: How many evaluations are planned, one at the end of each epoch.
        limit_s: How long the whole fit may take, including loading and the last evaluation; None for no limit.
        began: When the fit began, by `clock`.
        done: How many steps an earlier run of the fit made.
    """

    def __init__(
        self,
        step_tokens: Sequence[int] | Indices,
        dev_tokens: int,
        looks: int,
        *,
        limit_s: float | None,
        began: float,
        done: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tokens = np.asarray(step_tokens, dtype=np.int64)
        self._to_come = int(self._tokens[done:].sum())
        self._dev_tokens = dev_tokens
        self._looks_left = looks
        self._limit = limit_s
        self._began = began
        self._clock = clock
        self._first_step = clock()
        self._done = self._steps = done
        self._step_tokens, self._step_s, self._examples = 0, 0.0, 0
        self._look_s: float | None = None

    @property
    def elapsed_s(self) -> float:
        """Seconds since the fit began."""
        return self._clock() - self._began

    @property
    def is_first(self) -> bool:
        """Whether one step was made since the start."""
        return self._steps == self._done + 1

    def stepped(self, seconds: float, examples: int = 0) -> None:
        """Record how long a step took, and how many examples it had."""
        self._step_tokens += int(self._tokens[self._steps])
        self._to_come -= int(self._tokens[self._steps])
        self._steps += 1
        self._step_s += seconds
        self._examples += examples

    def looked(self, seconds: float) -> None:
        """Record how long an evaluation took."""
        self._look_s = seconds
        self._looks_left -= 1

    def examples_per_s(self) -> float | None:
        """Return how many examples a second of the steps made so far took; None before the first."""
        return self._examples / self._step_s if self._step_s else None

    def share_done(self) -> float:
        """Return the share of the fit that is over, in [0, 1): of its steps, or of its time if that ends it sooner.

        The learning rate follows it, so it falls to 0 even if time ends the fit.
        """
        of_steps = self._steps / len(self._tokens)
        if self._limit is None:
            return of_steps
        end = self._began + self._limit - self.look_s()
        of_time = (self._clock() - self._first_step) / max(end - self._first_step, 1e-9)
        return min(max(of_steps, of_time), 0.999)

    def is_over(self) -> bool:
        """Return whether another step and the last evaluation would exceed the limit. At least one step is made."""
        if self._limit is None or self._steps == self._done or self._steps == len(self._tokens):
            return False
        return self.elapsed_s + self._cost(int(self._tokens[self._steps])) + self.look_s() > self._limit

    def look_s(self) -> float:
        """Return how long an evaluation takes: as long as the last one, or an estimate from the steps."""
        return self._cost(self._dev_tokens) * FORWARD_SHARE if self._look_s is None else self._look_s

    def whole_s(self) -> float:
        """Return the time of all further steps and evaluations, without a limit."""
        return self._cost(self._to_come) + max(self._looks_left, 0) * self.look_s()

    def left_s(self) -> float:
        """Return the time left, at most until the limit."""
        if self._limit is None:
            return self.whole_s()
        return min(self.whole_s(), max(self._limit - self.elapsed_s, 0.0))

    def room(self) -> int:
        """Estimate how many steps will have been made at the end."""
        if self._limit is None or self.whole_s() <= self._limit - self.elapsed_s:
            return len(self._tokens)
        left, steps = self._limit - self.elapsed_s - self.look_s(), self._steps
        while steps < len(self._tokens) and (left := left - self._cost(int(self._tokens[steps]))) >= 0:
            steps += 1
        return max(steps, 1)

    def _cost(self, tokens: int) -> float:
        return self._step_s / self._step_tokens * tokens if self._step_tokens else 0.0
