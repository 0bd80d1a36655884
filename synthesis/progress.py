"""How far a run of requests is: running totals for whoever shows them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from warehouse.records import Request


@dataclass(frozen=True)
class Progress:
    """Totals so far: subjects (propositions or premises) done, and their requests by status.

    answered + refused + failed is the number of requests; `cached` of them came from the ledger.
    """

    done: int
    answered: int
    refused: int
    failed: int
    cached: int


def counted(on_progress: Callable[[Progress], None] | None) -> Callable[[Iterable[Request]], None]:
    """A function to be called with the requests of each subject that is done; it reports the new totals."""
    totals: Counter[str] = Counter()

    def report(requests: Iterable[Request]) -> None:
        totals["done"] += 1
        for request in requests:
            totals[request.status] += 1
            totals["cached"] += request.cached
        if on_progress is not None:
            on_progress(
                Progress(totals["done"], totals["answered"], totals["refused"], totals["failed"], totals["cached"])
            )

    return report
