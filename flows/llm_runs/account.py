"""What a run that asked models came to, and what was paid for it, as an outcome."""

from __future__ import annotations

from collections.abc import Mapping

from flows.outcome import Outcome
from flows.terminal.console import money
from synthesis.llm.client import Caller
from synthesis.progress import RunProgress

NAMES = {"drops": "dropped"}
WITH_REASONS = ("estimates", "verdicts", "comparisons")


def account(
    stage: str, progress: RunProgress, written: Mapping[str, int], without: Mapping[str, int], caller: Caller
) -> Outcome:
    """The outcome of a run; `written` are its rows by table, `without` those of them with a reason in place of a value.

    Its cost is what was paid for all replies that came, also where their question is not at its end.
    """
    counts = {
        "requests": progress.requests,
        "answered": progress.answered,
        "refused": progress.refused,
        "failed": progress.failed,
        "from the ledger": progress.kept,
    }
    for table, count in written.items():
        if table in WITH_REASONS:
            counts[table] = count - without[table]
            counts[f"{table} refused"] = without[table]
        elif table != "requests":
            counts[NAMES.get(table, table)] = count
    budget = caller.budget
    note = ", ".join(_notes(caller))
    return Outcome(
        stage=stage, counts=counts, cost=budget.paid, unsure=budget.unsure, stopped=caller.stop.reason or "", note=note
    )


def _notes(caller: Caller) -> list[str]:
    """What a person would else miss between the cost of the run and that of the requests in the warehouse."""
    notes = caller.notes
    if caller.uncounted:
        notes.append(f"{caller.uncounted:,} replies came without a count of tokens and may have cost the most they can")
    if caller.paid:
        paid = money(sum(caller.paid.values()))
        notes.append(f"{paid} of the cost is for {len(caller.paid):,} replies that the next run takes from the ledger")
    return notes
