"""What a flow made, in numbers: printed on the command line, stored by Prefect, asserted in tests."""

from __future__ import annotations

from collections import Counter

from pydantic import BaseModel, ConfigDict

from flows.console import money


class Outcome(BaseModel):
    """The counts of one run of one stage. `note` is one line for a person, such as where a file lies.

    `cost` is what was paid, in the currency of the prices. `stopped` says why a run ended before all was done.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: str
    counts: dict[str, int]
    note: str = ""
    cost: float = 0.0
    stopped: str = ""

    def line(self) -> str:
        """The outcome as one line, such as `push: 12 created, 0 already there`."""
        counts = ", ".join(f"{value:,} {name}" for name, value in self.counts.items())
        notes = [f"cost {money(self.cost)}"] if self.cost else []
        notes += [f"stopped early: {self.stopped}"] if self.stopped else []
        notes += [self.note] if self.note else []
        return f"{self.stage}: {counts}" + (f" ({', '.join(notes)})" if notes else "")

    def and_then(self, later: Outcome) -> Outcome:
        """Both runs of a stage as one."""
        counts = Counter(self.counts)
        counts.update(later.counts)
        note = ", ".join(note for note in (self.note, later.note) if note)
        return later.model_copy(update={"counts": dict(counts), "note": note, "cost": self.cost + later.cost})
