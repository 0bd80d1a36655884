"""How far a run is: running totals to show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from warehouse.records import Record, Request


@dataclass(frozen=True, slots=True)
class RunProgress:
    """Totals so far: questions done, and their requests by status.

    answered + refused + failed is the number of requests; `kept` of them came from the ledger without being sent.
    `cost` is what this run paid, in the currency of the prices. The endpoint has finished `came_back` of the requests
    that were `handed_in` as batches.
    """

    done: int = 0
    answered: int = 0
    refused: int = 0
    failed: int = 0
    kept: int = 0
    cost: float = 0.0
    handed_in: int = 0
    came_back: int = 0

    @property
    def requests(self) -> int:
        """All requests."""
        return self.answered + self.refused + self.failed

    def after(self, rows: Iterable[Record], questions: int = 1) -> RunProgress:
        """The totals after some more questions, with these rows."""
        status = Counter(row.status for row in rows if isinstance(row, Request))
        return replace(
            self,
            done=self.done + questions,
            answered=self.answered + status["answered"],
            refused=self.refused + status["refused"],
            failed=self.failed + status["failed"],
        )

    def now(self, *, kept: int, cost: float) -> RunProgress:
        """The same totals with the current figures of the ledger and the cost."""
        return replace(self, kept=kept, cost=cost)
