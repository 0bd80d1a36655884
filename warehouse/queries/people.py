"""What is known of annotators: who is meant, their statuses, quality, checks and paid periods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from warehouse.catalog.connect import Warehouse
from warehouse.catalog.extensions import literals
from warehouse.catalog.schema import REPEATS
from warehouse.catalog.store import merge, read
from warehouse.errors import InputError
from warehouse.records import NOBODY, Annotator, AnnotatorStatus, Payment, Status, content_id, now


@dataclass(frozen=True)
class CheckRate:
    """How many checks of a purpose an annotator judged and passed."""

    n: int
    passed: int

    @property
    def rate(self) -> float:
        """The share passed, in [0, 1]; 0 without checks."""
        return self.passed / self.n if self.n else 0.0


class Given(NamedTuple):
    """How many judgments somebody gave, and the share of attention checks passed among them; None without any."""

    n: int
    attention_rate: float | None


def annotator_named(warehouse: Warehouse, name: str) -> Annotator:
    """Return the annotator with this pseudonym, id or unique beginning of either.

    Raises:
        InputError: nobody is called so, several are, or the name is empty.
    """
    if not name.strip():
        raise InputError("the annotator's name is empty: odds annotators list shows the pseudonyms")
    known = f"kind NOT IN ({literals(NOBODY)}) AND (starts_with(annotator_id, ?) OR starts_with(pseudonym, ?))"
    found = read(warehouse, Annotator, known, [name, name])
    exact = [one for one in found if name in (one.annotator_id, one.pseudonym)]
    if len(exact) == 1 or len(found) == 1:
        return (exact or found)[0]
    if not found:
        raise InputError(f'there is no annotator "{name}": odds annotators list shows their pseudonyms')
    names = ", ".join(sorted(one.pseudonym or one.annotator_id for one in found)[:5])
    raise InputError(f'"{name}" fits {len(found)} annotators ({names} ...): give more of the pseudonym or id')


def statuses_of(warehouse: Warehouse, annotator_id: str) -> list[AnnotatorStatus]:
    """Return what was decided about an annotator, the newest first."""
    found = read(warehouse, AnnotatorStatus, "annotator_id = ?", [annotator_id])
    return sorted(found, key=lambda one: (one.since, one.created_at), reverse=True)


def excluded_for(warehouse: Warehouse) -> dict[str, str]:
    """Return why each annotator who is excluded now is."""
    return dict(warehouse.rows("SELECT annotator_id, reason FROM current_statuses WHERE status = 'excluded'"))


def statuses_before_rules(warehouse: Warehouse) -> dict[str, Status]:
    """Return the newest status of each annotator, without those by which a rule watched or excluded them."""
    rows = warehouse.rows(
        "SELECT annotator_id, arg_max(status, (since, created_at, status_id)) FROM annotator_statuses "
        "WHERE NOT (decided_by = 'rule' AND status IN ('watched', 'excluded')) GROUP BY annotator_id"
    )
    return dict(rows)


def decided(annotator_id: str, status: Status, reason: str, *, by_rule: bool = False) -> AnnotatorStatus:
    """Return a decision about an annotator that holds from now on."""
    since = now()
    return AnnotatorStatus(
        status_id=content_id("status", annotator_id, status, since.isoformat()),
        annotator_id=annotator_id,
        status=status,
        reason=reason,
        decided_by="rule" if by_rule else "person",
        since=since,
    )


def decide(warehouse: Warehouse, annotator_id: str, status: Status, reason: str) -> AnnotatorStatus:
    """Store and return a person's decision about an annotator."""
    row = decided(annotator_id, status, reason)
    merge(warehouse, [row])
    return row


def quality_of_annotators(warehouse: Warehouse) -> list[dict[str, Any]]:
    """Return the rows of annotator_quality with the reason and time of the status, by pseudonym."""
    query = (
        "SELECT q.*, s.reason, s.decided_by, s.since FROM annotator_quality q "
        "JOIN current_statuses s ON s.annotator_id = q.annotator_id ORDER BY q.kind, q.pseudonym"
    )
    found: list[dict[str, Any]] = warehouse.sql(query).to_pylist()
    return found


def judged_in(warehouse: Warehouse, title: str) -> dict[str, int]:
    """Return how many judgments each annotator gave in the projects of a title, including those that do not count."""
    rows = warehouse.rows(
        "SELECT annotator_id, count(*) FROM judgments WHERE deleted_at IS NULL "
        "AND batch IN (SELECT project FROM studio_projects WHERE title = ?) GROUP BY annotator_id",
        [title],
    )
    return dict(rows)


def check_rates(warehouse: Warehouse, purpose: str) -> dict[str, CheckRate]:
    """Return how each annotator did on the checks of a purpose (attention or qualification)."""
    rows = warehouse.rows(
        "SELECT annotator_id, count(*), count(*) FILTER (passed) FROM check_results "
        "WHERE purpose = ? GROUP BY annotator_id",
        [purpose],
    )
    return {annotator: CheckRate(n, passed) for annotator, n, passed in rows}


def count_checks(warehouse: Warehouse, purpose: str) -> int:
    """Count the checks of a purpose."""
    return int(warehouse.value("SELECT count(*) FROM checks WHERE purpose = ?", [purpose]))


def judged_checks(warehouse: Warehouse, propositions: Sequence[str]) -> int:
    """Count the judgments that count now on some propositions, which would stop counting if these became checks."""
    query = "SELECT count(*) FROM valid_judgments WHERE proposition_id IN (SELECT unnest(?::VARCHAR[]))"
    return int(warehouse.value(query, [list(propositions)]))


def work_done(warehouse: Warehouse, start: datetime, end: datetime, cap_s: float) -> list[dict[str, Any]]:
    """Return what each person did from `start` until before `end`: judgments, checks, and seconds up to a cap each.

    "Cannot judge" and judgments of excluded annotators count as work; deleted and rejected ones don't.
    """
    found: list[dict[str, Any]] = warehouse.sql(
        """
        SELECT a.annotator_id, a.pseudonym, s.status, count(*) AS n_judgments,
          count(c.judgment_id) AS n_checks, count(*) FILTER (c.passed) AS n_checks_passed,
          coalesce(sum(CASE WHEN j.lead_time_s IS NOT NULL THEN least(j.lead_time_s, ?) END), 0)::DOUBLE AS seconds,
          count(*) FILTER (j.lead_time_s IS NULL) AS n_untimed
        FROM judgments j
        JOIN annotators a ON a.annotator_id = j.annotator_id AND a.kind = 'human'
        JOIN current_statuses s ON s.annotator_id = a.annotator_id
        LEFT JOIN check_results c ON c.judgment_id = j.judgment_id
        WHERE j.submitted_at >= ? AND j.submitted_at < ? AND j.deleted_at IS NULL AND j.status <> 'rejected'
        GROUP BY ALL ORDER BY a.pseudonym
        """,
        [cap_s, start, end],
    ).to_pylist()
    return found


def work_given(
    warehouse: Warehouse, since: datetime | None, until: datetime | None, projects: Sequence[str] | None
) -> dict[str, Given]:
    """Return what each person gave from `since` until before `until`, in these projects; None limits nothing.

    Each judgment counts once, be it a repeat, practice, on a check or "cannot judge"; deleted and rejected ones don't.
    """
    rows = warehouse.rows(
        f"""
        WITH given AS (
          SELECT * FROM judgments
          WHERE deleted_at IS NULL AND status <> 'rejected' AND ($1::TIMESTAMPTZ IS NULL OR submitted_at >= $1)
            AND ($2::TIMESTAMPTZ IS NULL OR submitted_at < $2) AND ($3::VARCHAR[] IS NULL OR list_contains($3, batch))
        ), met AS (
          SELECT g.annotator_id, coalesce(g.probability BETWEEN c.low AND c.high, false) AS passed
          FROM given g JOIN checks c ON c.proposition_id = g.proposition_id AND c.purpose = 'attention'
          QUALIFY row_number() OVER (
            PARTITION BY g.annotator_id, g.proposition_id
            ORDER BY {REPEATS}
          ) = 1
        )
        SELECT annotator_id, count(*), any_value(rate)
        FROM given LEFT JOIN (SELECT annotator_id, avg(passed::DOUBLE) AS rate FROM met GROUP BY annotator_id)
          USING (annotator_id)
        GROUP BY annotator_id
        """,
        [since, until, None if projects is None else list(projects)],
    )
    return {annotator: Given(n, rate) for annotator, n, rate in rows}


def clock_behind_s(warehouse: Warehouse) -> float:
    """Return how many seconds the slowest clock of the Label Studio servers was behind ours at the last pull; or 0."""
    query = "SELECT greatest(max(-clock_ahead_s), 0) FROM studio_projects WHERE retired_at IS NULL"
    return float(warehouse.value(query))


def payments_between(warehouse: Warehouse, start: datetime, end: datetime) -> list[Payment]:
    """Return the payments whose period overlaps this one."""
    return read(warehouse, Payment, "period_start < ? AND period_end > ?", [end, start])


def judged_by_day(warehouse: Warehouse) -> list[dict[str, Any]]:
    """Return annotator_id, day (UTC) and n: judgments submitted, by annotator and day."""
    found: list[dict[str, Any]] = warehouse.sql(
        "SELECT annotator_id, (submitted_at AT TIME ZONE 'UTC')::DATE AS day, count(*) AS n FROM judgments "
        "WHERE deleted_at IS NULL AND submitted_at IS NOT NULL GROUP BY ALL ORDER BY annotator_id, day"
    ).to_pylist()
    return found


def progress_of_study(warehouse: Warehouse) -> dict[str, int]:
    """Return n_judgments (that count), n_judged (propositions with one) and n_tasks (propositions to be judged).

    Propositions that were only imported with judgments count as tasks too.
    """
    (row,) = warehouse.sql(
        "WITH judged AS (SELECT proposition_id, count(*) AS n FROM valid_judgments GROUP BY proposition_id) "
        "SELECT coalesce((SELECT sum(n) FROM judged), 0)::BIGINT AS n_judgments, "
        "(SELECT count(*) FROM judged) AS n_judged, "
        "(SELECT count(*) FROM (SELECT proposition_id FROM judged UNION "
        "SELECT proposition_id FROM tasks WHERE coalesce(purpose, 'judge') = 'judge')) AS n_tasks"
    ).to_pylist()
    return dict(row)
