"""What a stage would take, for the user: requests, tokens and cost of each job. Sends nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from flows.llm_runs.jobs import Job
from flows.settings.settings import Settings
from flows.stages.services import ledger, reading
from flows.terminal.console import money
from flows.terminal.tables import narrow_table, with_room_for_names
from synthesis.plan import Plan, plan
from warehouse.catalog.connect import Warehouse
from warehouse.queries.stages import tokens_of_prompts

JobsOf = Callable[[Settings, Warehouse], list[Job]]
MANY = 10_000_000
REMARK = (
    "Expected tokens come from past requests with the same name, model and prompt, or else from the length of the "
    "texts. Not counted: up to two more tries for unreadable replies, attempts that break off, and requests that "
    "depend on other replies. --max-cost bounds these as well."
)
UNBOUNDED = "no bound: a reply may have any length, because neither max_tokens nor max_completion_tokens is sent."
NO_LLM = "No LLM would be asked: 0 requests."
HELD = "Requests in batches are paid for: a run with --batch collects them, one without leaves them out."


def plan_table(settings: Settings, jobs: JobsOf, *, batch: bool) -> Group:
    """One row per job that would send something, and their sum."""
    with reading(settings) as warehouse:
        found = plan_jobs(settings, warehouse, jobs(settings, warehouse), batch=batch)
    if not found:
        return Group(Text(NO_LLM))
    rows = [*found.items(), *([("all", total(found.values()))] if len(found) > 1 else [])]
    return Group(_table(rows), Text("\n".join(["", *_remarks(found.values())])))


def plan_jobs(settings: Settings, warehouse: Warehouse, jobs: Sequence[Job], *, batch: bool) -> dict[str, Plan]:
    """What each job would take, by its name. Sends and writes nothing."""
    past = tokens_of_prompts(warehouse)
    with ledger(settings) as opened:
        return {
            job.name: plan(job.questions(), job.config, settings.endpoint_of(job.config), opened, past, batch=batch)
            for job in jobs
        }


def total(plans: Collection[Plan]) -> Plan:
    """The sum of several plans; None for a figure that one with requests does not know."""
    sending = [each for each in plans if each.requests]
    most_out = _sum(each.most_out for each in sending)
    return Plan(
        questions=sum(each.questions for each in plans),
        kept=sum(each.kept for each in plans),
        held=sum(each.held for each in plans),
        requests=sum(each.requests for each in plans),
        tokens_in=sum(each.tokens_in for each in plans),
        tokens_out=_sum(each.tokens_out for each in sending),
        most_in=sum(each.most_in for each in plans),
        most_out=None if most_out is None else int(most_out),
        cost=_sum(each.cost for each in sending),
        most_cost=_sum(each.most_cost for each in sending),
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
    table = narrow_table("asked", *columns)
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
    """The cost, or why it is unknown: `otherwise` if the tokens are unknown."""
    return money(value) or (otherwise if tokens is None else "no price")


def _sum(values: Iterable[float | None]) -> float | None:
    known = 0.0
    for value in values:
        if value is None:
            return None
        known += value
    return known
