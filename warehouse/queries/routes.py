"""Which propositions go to which Label Studio project, and why each is asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from warehouse.catalog.connect import Warehouse
from warehouse.queries.stages import proposition_texts
from warehouse.records import ProjectPurpose, PropositionText, Purpose

QUALIFYING = "SELECT proposition_id FROM checks WHERE purpose IN ('practice', 'qualification')"
MIXED_IN = "SELECT proposition_id FROM checks WHERE purpose = 'attention'"

# A repeat alone, whose first task was deleted, does not ask for the judgment that it repeats.
ASKED_ONCE = "SELECT proposition_id FROM tasks WHERE coalesce(purpose, 'judge') <> 'repeat'"


class Route(NamedTuple):
    """The propositions whose premises have one of these sources and one of these languages; empty means all."""

    sources: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()

    def condition(self) -> tuple[str, list[object]]:
        """Return the condition on `m` (premises) in SQL, and its parameters."""
        wanted = [("source", self.sources), ("language", self.languages)]
        parts = [(f"m.{name} IN (SELECT unnest(?::VARCHAR[]))", list(values)) for name, values in wanted if values]
        return " AND ".join(part for part, _ in parts) or "true", [values for _, values in parts]


class Place(NamedTuple):
    """A project among others.

    Attributes:
        project: Its key.
        purpose: A study takes all propositions except those that qualify annotators; qualification takes only those.
        route: Which of them it takes.
        earlier: The routes of the projects of the same purpose that come before it and take theirs first.
        others: The keys of the other projects of the same purpose: what has a task there stays there.
    """

    project: str
    purpose: ProjectPurpose = "study"
    route: Route = Route()
    earlier: Sequence[Route] = ()
    others: Sequence[str] = ()


def unpushed_propositions(warehouse: Warehouse, place: Place, *, chosen: bool = False) -> list[PropositionText]:
    """Return the propositions that go to a project and have no task there, of all or only of the chosen ones."""
    condition, params = waiting_for(place)
    if chosen:
        condition += " AND p.proposition_id IN (SELECT proposition_id FROM chosen)"
    return proposition_texts(warehouse, condition, params)


def waiting_for(place: Place) -> tuple[str, list[object]]:
    """Return the condition in SQL on `p` and `m` of what has no task in its project yet, and its parameters."""
    conditions = [f"p.proposition_id NOT IN ({ASKED_ONCE} AND project IN (SELECT unnest(?::VARCHAR[])))"]
    params: list[object] = [[place.project, *place.others]]
    if place.purpose == "qualification":
        conditions.append(f"p.proposition_id IN ({QUALIFYING})")
    else:
        conditions.append(f"(p.proposition_id NOT IN ({QUALIFYING}) OR p.proposition_id IN ({MIXED_IN}))")
    for route, sign in [(place.route, ""), *((route, "NOT ") for route in place.earlier)]:
        condition, values = route.condition()
        conditions.append(f"{sign}({condition})")
        params.extend(values)
    return " AND ".join(conditions), params


def check_purposes(warehouse: Warehouse, purpose: ProjectPurpose) -> dict[str, Purpose]:
    """Return the purpose of the tasks of checks in a project of this purpose; all other tasks are to be judged."""
    checks = dict(warehouse.rows("SELECT proposition_id, purpose FROM checks"))
    if purpose == "study":
        return {proposition: "check" for proposition, of in checks.items() if of == "attention"}
    return {proposition: of for proposition, of in checks.items() if of != "attention"}
