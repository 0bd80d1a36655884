"""Reviewing annotators: who signed up, who qualified, and whom the rules of the settings watch or exclude."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from annotation.sync.mapping import annotator_of
from flows.settings.people import PeopleSettings, RuleSettings
from flows.settings.settings import Config, load_settings
from flows.stages.outcome import Outcome
from flows.stages.services import writing
from flows.studio.connection import connecting
from warehouse.catalog.connect import Warehouse
from warehouse.catalog.store import merge, merge_all, read
from warehouse.queries.people import (
    CheckRate,
    check_rates,
    count_checks,
    decided,
    quality_of_annotators,
    statuses_before_rules,
)
from warehouse.records import Annotator, AnnotatorStatus, Status

NOTHING = CheckRate(0, 0)


def annotators_review(*, config: Config = None) -> Outcome:
    """Record who signed up in Label Studio, and decide by rule who qualified and who is watched or excluded.

    A person's decision about an annotator stands: rules leave those annotators alone.

    Raises:
        ServiceError: Label Studio cannot be reached, or fails.
    """
    settings = load_settings(config)
    connected = connecting(settings)
    with writing(settings) as warehouse:
        client = connected()
        me = client.whoami().id
        members = [annotator_of(user.id, user.email) for user in client.users().values() if user.id != me]
        known = {one.annotator_id for one in read(warehouse, Annotator)}
        new = [one for one in members if one.annotator_id not in known]
        qualifying = count_checks(warehouse, "qualification")
        undecided = _undecided(warehouse, members) if qualifying else []
        invited = [decided(one.annotator_id, "invited", "signed up", by_rule=True) for one in undecided]
        merge_all(warehouse, [new, invited])
        rows = rule_decisions(warehouse, settings.annotation, qualifying)
        merge(warehouse, rows)
    changed = [row.status for row in rows]
    counts = {"signed up": len(new)}
    counts |= {status: changed.count(status) for status in ("qualified", "active", "watched", "excluded")}
    counts["not qualified"] = changed.count("invited")
    return Outcome(stage="annotators review", counts=counts)


def _undecided(warehouse: Warehouse, members: Sequence[Annotator]) -> list[Annotator]:
    """Return the people among the members without a status, also those whom a pull knew before any review did."""
    told = {one.annotator_id for one in read(warehouse, AnnotatorStatus)}
    return [one for one in members if one.kind == "human" and one.annotator_id not in told]


def rule_decisions(warehouse: Warehouse, annotation: PeopleSettings, qualifying: int) -> list[AnnotatorStatus]:
    """Return what the rules change now. They leave alone whoever a person decided about last."""
    passed = {purpose: check_rates(warehouse, purpose) for purpose in ("qualification", "attention")}
    before = statuses_before_rules(warehouse)
    rows = []
    for one in quality_of_annotators(warehouse):
        if one["kind"] not in ("human", "simulated") or (one["decided_by"] == "person" and one["since"]):
            continue
        name = one["annotator_id"]
        rates = {purpose: found.get(name, NOTHING) for purpose, found in passed.items()}
        statuses = one["status"], before.get(name, "active")
        status, reason = _decision(statuses, one["n_judgments"], rates, annotation, qualifying)
        if status is not None and (status, reason) != (one["status"], one["reason"]):
            rows.append(decided(name, status, reason, by_rule=True))
    return rows


def _decision(
    statuses: tuple[Status, Status],
    n_judgments: int,
    rates: Mapping[str, CheckRate],
    annotation: PeopleSettings,
    qualifying: int,
) -> tuple[Status | None, str]:
    """Return the status that the rules give an annotator, with the reason; None to leave it as it is.

    `statuses` are that of now and that from before any rule watched or excluded the annotator.
    """
    status, before = statuses
    by_checks = by_attention(status, before, rates["attention"], annotation.rules)
    if by_checks is not None:
        return by_checks
    if status == "invited":
        return by_qualification(rates["qualification"], annotation, qualifying)
    if status == "qualified" and n_judgments:
        return "active", "qualified, and has judged"
    return None, ""


def by_qualification(
    rate: CheckRate, annotation: PeopleSettings, available: int
) -> tuple[Literal["invited", "qualified"] | None, str]:
    """Decide whether an invited annotator qualifies: enough of enough qualification checks, by the first judgments."""
    if rate.n < min(annotation.qualify_checks, available) or not rate.n:
        return None, ""
    said = f"{rate.passed} of {rate.n} qualification checks passed"
    if rate.rate >= annotation.qualify_at:
        return "qualified", said
    return "invited", f"{said}, and it takes {annotation.qualify_at:.0%}"


def by_attention(status: str, before: Status, rate: CheckRate, rules: RuleSettings) -> tuple[Status, str] | None:
    """Decide by attention checks: below one bar an annotator is excluded, below another one watched; None: neither.

    Whoever is no longer below a bar gets back the status from before. Only qualified people are watched, since whoever
    is watched may judge.
    """
    if rate.n < rules.min_checks:
        return None
    said = f"{rate.passed} of {rate.n} attention checks passed"
    if rules.exclude_below_check_rate is not None and rate.rate < rules.exclude_below_check_rate:
        return "excluded", f"{said}, below {rules.exclude_below_check_rate:.0%}"
    watch_below = None if before == "invited" else rules.watch_below_check_rate
    if watch_below is not None and rate.rate < watch_below:
        return "watched", f"{said}, below {watch_below:.0%}"
    if status in ("watched", "excluded") and (rules.watch_below_check_rate or rules.exclude_below_check_rate):
        return before, f"{said}, no longer below the bar" if before != "invited" else f"{said}; not qualified yet"
    return None
