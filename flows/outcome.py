"""What a flow made, in numbers: printed on the command line, stored by Prefect, asserted in tests."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Outcome(BaseModel):
    """The counts of one run of one stage. `note` is one line for a person, such as where a file lies."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: str
    counts: dict[str, int]
    note: str = ""

    def line(self) -> str:
        """The outcome as one line, such as `push: 12 created, 0 already there`."""
        counts = ", ".join(f"{value:,} {name}" for name, value in self.counts.items())
        return f"{self.stage}: {counts}" + (f" ({self.note})" if self.note else "")
