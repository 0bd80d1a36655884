"""What a stage would take, for a person: requests, tokens and cost of each who is asked. Nothing is sent."""

from __future__ import annotations

from collections.abc import Callable, Collection

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table

from flows.asking import Limits, Work, plans
from flows.console import money
from flows.services import reading
from flows.settings import Settings
from synthesis.plan import Plan
from warehouse.connect import Warehouse

Planned = Callable[[Settings, Warehouse], list[Work]]
REMARK = (
    "Expected tokens come from past requests of the same prompt, else from the length of the texts. "
    "A reply that cannot be read is asked for again, up to three times in all, which is not counted. "
    "Neither is what is made from propositions that are not there yet."
)


def plan_table(settings: Settings, work: Planned, *, batch: bool) -> Group:
    """A row for each who is asked for something, and the sum of several."""
    with reading(settings) as warehouse:
        found = plans(settings, warehouse, work(settings, warehouse), Limits(batch=batch))
    table = Table("asked", header_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    for name in ("in the ledger", "requests", "tokens in", "tokens out", "cost", "at most"):
        table.add_column(name, justify="right", min_width=max(map(len, name.split())))
    for name, each in [*found.items(), *([("all", total(found.values()))] if len(found) > 1 else [])]:
        counts = (each.kept, each.requests, each.tokens_in, each.tokens_out)
        table.add_row(name, *(f"{count:,.0f}" for count in counts), _price(each.cost), _price(each.most_cost))
    return Group(table, REMARK)


def total(plans: Collection[Plan]) -> Plan:
    """The sum of several plans; its costs are None where one is not known."""
    costs = [each.cost for each in plans if each.requests]
    most = [each.most_cost for each in plans if each.requests]
    return Plan(
        questions=sum(each.questions for each in plans),
        kept=sum(each.kept for each in plans),
        requests=sum(each.requests for each in plans),
        tokens_in=sum(each.tokens_in for each in plans),
        tokens_out=sum(each.tokens_out for each in plans),
        cost=None if None in costs else sum(cost or 0.0 for cost in costs),
        most_cost=None if None in most else sum(cost or 0.0 for cost in most),
    )


def _price(value: float | None) -> str:
    return money(value) or "no price"
