"""Tasks beside those to be judged: checks, and repeats of a proposition in its own project."""

from __future__ import annotations

from collections.abc import Sequence

from warehouse.catalog.connect import Warehouse
from warehouse.queries.routes import MIXED_IN, Place, waiting_for
from warehouse.queries.stages import proposition_texts
from warehouse.records import PropositionText, Purpose


def task_purposes(warehouse: Warehouse, project: str) -> dict[int, Purpose]:
    """Return the purpose of each task of a Label Studio project by its number."""
    query = "SELECT CAST(source_id AS BIGINT) AS number, purpose FROM tasks WHERE project = ?"
    rows = warehouse.sql(query, [project])
    return dict(zip(rows["number"].to_pylist(), rows["purpose"].to_pylist(), strict=True))


def has_mixed_in(warehouse: Warehouse, place: Place) -> bool:
    """Return whether a study's project has tasks that are checks or repeats, or attention checks wait for it."""
    present = warehouse.sql(
        "SELECT EXISTS (SELECT 1 FROM tasks WHERE project = ? AND purpose IN ('check', 'repeat')) AS there, "
        f"EXISTS ({MIXED_IN}) AS known",
        [place.project],
    ).to_pylist()[0]
    if present["there"] or not present["known"]:
        return bool(present["there"])
    condition, params = waiting_for(place)
    return bool(proposition_texts(warehouse, f"p.proposition_id IN ({MIXED_IN}) AND {condition}", params))


def met_by_everyone(warehouse: Warehouse, project: str) -> list[int]:
    """Return the tasks of a project that every annotator should meet: all but those only to be judged, and repeated."""
    rows = warehouse.sql(
        "SELECT CAST(source_id AS BIGINT) AS number FROM tasks WHERE project = ? AND (coalesce(purpose, 'judge') <> "
        "'judge' OR proposition_id IN (SELECT proposition_id FROM tasks WHERE project = ? AND purpose = 'repeat'))",
        [project, project],
    )
    numbers: list[int] = rows["number"].to_pylist()
    return numbers


def repeated_tasks(warehouse: Warehouse, project: str) -> dict[int, int]:
    """Return the task that each repeat of a project repeats, by the repeat's number."""
    rows = warehouse.sql(
        "SELECT CAST(r.source_id AS BIGINT) AS again, CAST(t.source_id AS BIGINT) AS first FROM tasks r "
        "JOIN tasks t ON t.project = r.project AND t.proposition_id = r.proposition_id AND t.purpose = 'judge' "
        "WHERE r.project = ? AND r.purpose = 'repeat'",
        [project],
    )
    return dict(zip(rows["again"].to_pylist(), rows["first"].to_pylist(), strict=True))


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
