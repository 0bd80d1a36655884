"""What a run that asked models leaves with Prefect: its final figures, and how it ended."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field

from flows.stages.outcome import Outcome, how_it_ended
from flows.stages.recording import in_flow_run
from flows.terminal.console import money
from flows.terminal.progress import hours, rate_of
from synthesis.progress import RunProgress
from warehouse.records import Record, Request


@dataclass
class Figures:
    """What the artifact of a stage says besides its outcome: questions done and in all, seconds, requests by config.

    A stage with several phases has one for all of them.
    """

    done: int = 0
    total: int = 0
    seconds: float = 0.0
    by_name: dict[str, RunProgress] = field(default_factory=dict)

    def add(self, done: int, total: int, seconds: float) -> None:
        """Counts a finished phase."""
        self.done += done
        self.total += total
        self.seconds += seconds

    def count(self, rows: Iterable[Record], fresh: Collection[str]) -> None:
        """Counts requests by model config; `fresh` holds the ids of those that did not come from the ledger."""
        requests: defaultdict[str, list[Request]] = defaultdict(list)
        for row in rows:
            if isinstance(row, Request):
                requests[row.labeler].append(row)
        for name, its in requests.items():
            before, sent = self.by_name.get(name, RunProgress()), [row for row in its if row.request_id in fresh]
            kept, cost = before.kept + len(its) - len(sent), before.cost + sum(row.cost or 0.0 for row in sent)
            self.by_name[name] = before.after(its, len(its)).now(kept=kept, cost=cost)


def leave_artifact(outcome: Outcome, figures: Figures, error: BaseException | None) -> None:
    """Stores the outcome as an artifact of the flow run, if there is one. Never hides the error of a failed run."""
    if not in_flow_run():
        return
    from prefect.artifacts import create_markdown_artifact

    text = report(outcome, figures, error)
    with suppress(Exception) if error else nullcontext():
        create_markdown_artifact(key=f"odds-{outcome.stage}", markdown=text, description=how_it_ended(outcome, error))


def report(outcome: Outcome, figures: Figures, error: BaseException | None) -> str:
    """The outcome as Markdown: how it ended, its figures, and a row per model config."""
    requests, seconds, by_name = outcome.counts["requests"], figures.seconds, figures.by_name
    lines = {
        "questions done": f"{figures.done:,} of {figures.total:,}",
        **{name: f"{count:,}" for name, count in outcome.counts.items()},
        "time": hours(seconds),
        "rate": rate_of(requests / max(seconds, 1e-9)),
        "cost": money(outcome.cost),
        "may also have been billed, at most": money(outcome.unsure),
    }
    columns = ("asked", "requests", "answered", "refused", "failed", "from the ledger", "cost of the replies")
    counts = {name: (t.requests, t.answered, t.refused, t.failed, t.kept) for name, t in sorted(by_name.items())}
    rows = [(name, *map("{:,}".format, some), money(by_name[name].cost)) for name, some in counts.items()]
    parts = [
        f"## {outcome.stage}: {how_it_ended(outcome, error)}",
        _table(("", ""), list(lines.items())),
        *([_table(columns, rows)] if rows else []),
    ]
    return "\n\n".join(parts) + "\n"


def _table(columns: Collection[str], rows: Iterable[Collection[str]]) -> str:
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |" for line in lines)
