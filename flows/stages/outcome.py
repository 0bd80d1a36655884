"""What a stage did, in numbers: printed on the command line, stored by Prefect, asserted in tests."""

from __future__ import annotations

from asyncio import CancelledError
from collections import Counter

from pydantic import BaseModel, ConfigDict

from flows.terminal.console import money
from warehouse.errors import OddsError


class Outcome(BaseModel):
    """The counts of one run of a stage.

    `note` is one line for the user, such as the path of a file. `cost` is what was paid, in the currency of the prices;
    `unsure` is the most that may have been billed in addition, for attempts without an answer and replies without token
    counts. `stopped` says why a run ended early. `seconds` is how long the stage took in a cycle.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: str
    counts: dict[str, int]
    note: str = ""
    cost: float = 0.0
    unsure: float = 0.0
    stopped: str = ""
    seconds: float = 0.0

    @property
    def spent(self) -> float:
        """Everything that counts towards a limit."""
        return self.cost + self.unsure

    def line(self) -> str:
        """Return the outcome as one line, such as `push: 12 new tasks, 0 found there`."""
        counts = ", ".join(f"{value:,} {name}" for name, value in self.counts.items())
        notes = [f"cost {money(self.cost)}"] if self.cost or self.unsure else []
        notes += [f"at most {money(self.unsure)} more may have been billed"] if self.unsure else []
        notes += [f"stopped early: {self.stopped}"] if self.stopped else []
        notes += [self.note] if self.note else []
        return f"{self.stage}: {counts}" + (f" ({', '.join(notes)})" if notes else "")

    def and_then(self, later: Outcome) -> Outcome:
        """Combine two runs of a stage. The later one started with the cost of the first, so it has that of both."""
        counts = Counter(self.counts)
        counts.update(later.counts)
        note = ", ".join(note for note in (self.note, later.note) if note)
        return later.model_copy(update={"counts": dict(counts), "note": note})


def how_it_ended(outcome: Outcome, error: BaseException | None) -> str:
    """How the run ended, in a line."""
    if isinstance(error, OddsError):
        return f"failed: {' '.join(str(error).split())}"
    if outcome.stopped or isinstance(error, KeyboardInterrupt | CancelledError):
        return f"stopped early: {outcome.stopped or 'interrupted'}"
    # The message of an unexpected error may hold anything; the log has it.
    return "done" if error is None else f"failed: unexpected {type(error).__name__}"
