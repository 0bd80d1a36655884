"""Tasks beside those to be judged: checks, and repeats of a proposition in its own project."""

from __future__ import annotations

from collections.abc import Sequence

from warehouse.catalog.connect import Warehouse
from warehouse.queries.routes import MIXED_IN, Place, waiting_for
from warehouse.queries.stages import proposition_texts
from warehouse.records import PropositionText, Purpose


def task_purposes(warehouse: Warehouse, project: str) -> dict[int, Purpose]:
    """Return the purpose of each task of a Label Studio project by its number."""
    return dict(warehouse.rows("SELECT CAST(source_id AS BIGINT), purpose FROM tasks WHERE project = ?", [project]))


def has_mixed_in(warehouse: Warehouse, place: Place) -> bool:
    """Return whether a study's project has tasks that are checks or repeats, or attention checks wait for it."""
    there = "SELECT EXISTS (FROM tasks WHERE project = ? AND purpose IN ('check', 'repeat'))"
    if place.project and warehouse.value(there, [place.project]):
        return True
    if not warehouse.value(f"SELECT EXISTS ({MIXED_IN})"):
        return False
    condition, params = waiting_for(place)
    return bool(proposition_texts(warehouse, f"p.proposition_id IN ({MIXED_IN}) AND {condition}", params))


def met_by_everyone(warehouse: Warehouse, project: str) -> list[int]:
    """Return the tasks of a project that every annotator should meet: all but those only to be judged, and repeated."""
    rows = warehouse.rows(
        "SELECT CAST(source_id AS BIGINT) FROM tasks WHERE project = ? AND (coalesce(purpose, 'judge') <> "
        "'judge' OR proposition_id IN (SELECT proposition_id FROM tasks WHERE project = ? AND purpose = 'repeat'))",
        [project, project],
    )
    return [number for (number,) in rows]


def repeated_tasks(warehouse: Warehouse, project: str) -> dict[int, int]:
    """Return the task that each repeat of a project repeats, by the repeat's number."""
    rows = warehouse.rows(
        "SELECT CAST(r.source_id AS BIGINT), CAST(t.source_id AS BIGINT) FROM tasks r "
        "JOIN tasks t ON t.project = r.project AND t.proposition_id = r.proposition_id AND t.purpose = 'judge' "
        "WHERE r.project = ? AND r.purpose = 'repeat'",
        [project],
    )
    return dict(rows)


def unrepeated(warehouse: Warehouse, project: str, limit: int, first: Sequence[str] = ()) -> list[PropositionText]:
    """Return propositions to be judged in a project that are not repeated there: those in `first`, then the same ones
    every time.
    """
    chosen = warehouse.sql(
        "SELECT proposition_id FROM tasks WHERE project = ? AND purpose = 'judge' AND proposition_id NOT IN "
        "(SELECT proposition_id FROM tasks WHERE project = ? AND purpose = 'repeat') "
        "ORDER BY proposition_id NOT IN (SELECT unnest(?::VARCHAR[])), md5(proposition_id) LIMIT ?",
        [project, project, list(first), limit],
    )["proposition_id"].to_pylist()
    return proposition_texts(warehouse, "p.proposition_id IN (SELECT unnest(?::VARCHAR[]))", [chosen])
