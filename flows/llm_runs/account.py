"""The outcome of a run that asked models: its counts and its cost."""

from __future__ import annotations

from collections.abc import Mapping

from flows.stages.outcome import Outcome
from flows.terminal.console import money
from synthesis.llm.client import Caller
from synthesis.progress import RunProgress

NAMES = {"drops": "dropped"}
WITH_REASONS = ("estimates", "verdicts", "comparisons")


def account(
    stage: str, progress: RunProgress, written: Mapping[str, int], without: Mapping[str, int], caller: Caller
) -> Outcome:
    """The outcome of a run; `written` counts its rows by table, `without` those with a reason instead of a value.

    Its cost covers all replies that came, including those whose question was not finished.
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
    """What explains a difference between the cost of the run and that of the requests in the warehouse."""
    notes = caller.notes
    if caller.uncounted:
        notes.append(f"{caller.uncounted:,} replies came without a token count and may have cost the most they can")
    if caller.paid:
        paid = money(sum(caller.paid.values()))
        notes.append(f"{paid} of the cost is for {len(caller.paid):,} replies that the next run takes from the ledger")
    return notes
