"""What a stage would take, for a person: requests, tokens and cost of each who is asked. Nothing is sent."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from flows.llm_runs.run import Job, RunOptions, plan_jobs
from flows.services import reading
from flows.settings.settings import Settings
from flows.terminal.console import money, with_room_for_names
from synthesis.plan import Plan
from warehouse.catalog.connect import Warehouse

JobsOf = Callable[[Settings, Warehouse], list[Job]]
MANY = 10_000_000
REMARK = (
    "Expected tokens come from past requests of the same name, model and prompt, else from the length of the texts. "
    "Not counted: up to two more tries where a reply cannot be read, attempts that break off, and what is asked only "
    "when other replies are there. --max-cost bounds these, too."
)
UNBOUNDED = "no bound: a reply may have any length, as neither max_tokens nor max_completion_tokens is sent."
HELD = "What batches hold is paid for: a run with --batch takes it in, one without leaves it out."


def plan_table(settings: Settings, jobs: JobsOf, *, batch: bool) -> Group:
    """A row for each who is asked for something, and the sum of several."""
    with reading(settings) as warehouse:
        found = plan_jobs(settings, warehouse, jobs(settings, warehouse), RunOptions(batch=batch))
    rows = [*found.items(), *([("all", total(found.values()))] if len(found) > 1 else [])]
    return Group(_table(rows), Text("\n".join(["", *_remarks(found.values())])))


def total(plans: Collection[Plan]) -> Plan:
    """The sum of several plans; None where one that asks for something does not know."""
    asking = [each for each in plans if each.requests]
    most_out = _sum(each.most_out for each in asking)
    return Plan(
        questions=sum(each.questions for each in plans),
        kept=sum(each.kept for each in plans),
        held=sum(each.held for each in plans),
        requests=sum(each.requests for each in plans),
        tokens_in=sum(each.tokens_in for each in plans),
        tokens_out=_sum(each.tokens_out for each in asking),
        most_in=sum(each.most_in for each in plans),
        most_out=None if most_out is None else int(most_out),
        cost=_sum(each.cost for each in asking),
        most_cost=_sum(each.most_cost for each in asking),
    )


def _table(rows: Sequence[tuple[str, Plan]]) -> Table:
    plans = [each for _, each in rows]
    columns = {
        "in the ledger": [f"{each.kept:,}" for each in plans],
        "in batches": [f"{each.held:,}" for each in plans],
        "requests": [f"{each.requests:,}" for each in plans],
        "tokens in": [_tokens(each.tokens_in) for each in plans],
        "tokens out": [_tokens(each.tokens_out) for each in plans],
        "cost": [_price(each.cost, each.tokens_out, "unknown") for each in plans],
        "at most if sent once": [_price(each.most_cost, each.most_out, "no bound") for each in plans],
    }
    if not any(each.held for each in plans):
        del columns["in batches"]
    table = Table(header_style="bold", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True, show_edge=False)
    table.add_column("asked")
    for name in columns:
        table.add_column(name, justify="right")
    for (name, _), *cells_of_row in zip(rows, *columns.values(), strict=True):
        table.add_row(Text(name), *cells_of_row)
    return with_room_for_names(table)


def _remarks(plans: Collection[Plan]) -> Iterable[str]:
    if any(each.requests for each in plans):
        yield REMARK
    if any(each.most_out is None for each in plans):
        yield UNBOUNDED
    if any(each.held for each in plans):
        yield HELD


def _tokens(count: float | None) -> str:
    if count is None:
        return "unknown"
    return f"{count / 1e6:,.0f} M" if count >= MANY else f"{count:,.0f}"


def _price(value: float | None, tokens: float | None, otherwise: str) -> str:
    """The cost, or why it is not known: `otherwise` where the tokens are not."""
    return money(value) or (otherwise if tokens is None else "no price")


def _sum(values: Iterable[float | None]) -> float | None:
    known = 0.0
    for value in values:
        if value is None:
            return None
        known += value
    return known
