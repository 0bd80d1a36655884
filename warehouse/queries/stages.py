"""The queries of the flows, one function each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from warehouse.catalog.connect import Warehouse
from warehouse.catalog.migrate import column_comments
from warehouse.catalog.opened import CATALOG
from warehouse.catalog.schema import to_records
from warehouse.catalog.store import read, select
from warehouse.records import ESTIMATOR, Agreement, ConsensusMethod, Dataset, Estimate, PropositionText, StudioProject

TEXTS = """
SELECT p.proposition_id, m.text AS premise, p.hypothesis
FROM propositions p JOIN premises m ON m.premise_id = p.premise_id
"""


@dataclass(frozen=True)
class ColumnDescription:
    """A column with its SQL type and its meaning."""

    name: str
    type: str
    comment: str


@dataclass(frozen=True)
class TableDescription:
    """A table or view: its rows (None if not counted), its meaning and its columns."""

    name: str
    kind: str
    rows: int | None
    comment: str
    columns: tuple[ColumnDescription, ...]


def proposition_texts(warehouse: Warehouse, where: str = "", params: Sequence[object] = ()) -> list[PropositionText]:
    """Return propositions with both texts; `where` can use `p` (propositions) and `m` (premises).

    They are sorted by premise, so that a server that caches the start of a prompt reads each premise once.
    """
    condition = f"WHERE {where}" if where else ""
    order = "ORDER BY p.premise_id, p.proposition_id"
    return to_records(PropositionText, warehouse.sql(f"{TEXTS} {condition} {order}", params))


def simulation_truths(warehouse: Warehouse) -> dict[str, float]:
    """Return the value that simulated annotators scatter around: each proposition's target probability, else 0.5."""
    return dict(warehouse.rows("SELECT proposition_id, coalesce(target_probability, 0.5) FROM propositions"))


def known_stamps(warehouse: Warehouse, project: str) -> Iterator[tuple[int, datetime, int]]:
    """Yield the number, last change and count of annotations of a Label Studio project's tasks, as last read."""
    query = "SELECT number, changed_at, n_annotations FROM studio_tasks WHERE project = ?"
    columns = warehouse.sql(query, [project]).columns
    return zip(*(column.to_pylist() for column in columns), strict=True)


def orphaned_judgments(warehouse: Warehouse, source: str, project: str) -> list[str]:
    """Return the source ids of a Label Studio project's judgments that no task has any more, as of the last pull."""
    query = (
        "SELECT source_id FROM judgments WHERE source = ? AND batch = ? AND deleted_at IS NULL AND source_id NOT IN "
        "(SELECT unnest(judgments) FROM studio_tasks WHERE project = ?)"
    )
    found: list[str] = warehouse.sql(query, [source, project, project])["source_id"].to_pylist()
    return found


def held_judgments(warehouse: Warehouse, project: str, numbers: Sequence[int]) -> dict[int, list[str]]:
    """Return the source ids of the judgments of a Label Studio project's tasks, by number, as last read."""
    query = "SELECT number, judgments FROM studio_tasks WHERE project = ? AND number IN (SELECT unnest(?::BIGINT[]))"
    return dict(warehouse.rows(query, [project, list(numbers)]))


def authors(warehouse: Warehouse, source: str, project: str) -> tuple[dict[int, str], dict[str, str]]:
    """Return annotator ids in a Label Studio project, by user number and by the judgment's source id."""
    rows = warehouse.rows(
        "SELECT j.source_id, j.annotator_id, TRY_CAST(a.source_id AS BIGINT) FROM judgments j "
        "JOIN annotators a ON a.annotator_id = j.annotator_id WHERE j.source = ? AND j.batch = ? AND a.source = ?",
        [source, project, source],
    )
    by_number = {number: annotator for _, annotator, number in rows if number is not None}
    return by_number, {judgment: annotator for judgment, annotator, _ in rows}


def pushed_tasks(warehouse: Warehouse, project: str) -> tuple[int, int]:
    """Return how many tasks of a Label Studio project are known, and the highest task number (0 if none)."""
    query = "SELECT count(*), coalesce(max(CAST(source_id AS BIGINT)), 0) FROM tasks WHERE project = ?"
    ((known, highest),) = warehouse.rows(query, [project])
    return known, highest


def studio_project(warehouse: Warehouse, title: str) -> StudioProject | None:
    """Return the Label Studio project in use with this title; None if there is none yet."""
    found = read(warehouse, StudioProject, "title = ? AND retired_at IS NULL", [title])
    return found[0] if found else None


def counts(warehouse: Warehouse) -> pa.Table:
    """Return the progress: stage, n, n_simulated (rows simulated or based on simulated judgments)."""
    return warehouse.sql("SELECT stage, n, n_simulated FROM progress ORDER BY position")


def consensus_splits(warehouse: Warehouse, method: ConsensusMethod) -> dict[str, int]:
    """Count the propositions with a consensus by this method, by split."""
    query = "SELECT split, count(*) FROM consensus JOIN splits USING (proposition_id) WHERE method = ? GROUP BY split"
    return dict(warehouse.rows(query, [method]))


def more_held_out(warehouse: Warehouse) -> int:
    """Count the propositions whose split is more held out than the one that a file states for their premise."""
    return int(warehouse.value("SELECT count(*) FROM splits WHERE stated_split <> split"))


def newest_dataset(warehouse: Warehouse, name: str) -> Dataset | None:
    """Return the dataset of this name with the highest version; None if none is published."""
    return next(iter(select(warehouse, Dataset, "WHERE name = ? ORDER BY version DESC LIMIT 1", [name])), None)


def next_version(warehouse: Warehouse, name: str) -> int:
    """Return the version of the next dataset of this name, from 1."""
    newest = newest_dataset(warehouse, name)
    return newest.version + 1 if newest else 1


def current_agreement(warehouse: Warehouse) -> list[Agreement]:
    """Return the latest figure of each metric, scope and slice, sorted by these."""
    newest = "PARTITION BY scope, slice, metric ORDER BY created_at DESC, agreement_id DESC"
    return select(warehouse, Agreement, f"QUALIFY row_number() OVER ({newest}) = 1 ORDER BY scope, slice, metric")


def agreement_history(warehouse: Warehouse, metric: str, scope: str) -> list[Agreement]:
    """Return every recorded figure of a metric and scope, for all slices, by time."""
    rest = "WHERE metric = ? AND scope = ? ORDER BY created_at, agreement_id"
    return select(warehouse, Agreement, rest, [metric, scope])


def current_estimates(warehouse: Warehouse, propositions: Sequence[str]) -> list[Estimate]:
    """Return each panel labeler's estimate for these propositions, including those without a probability."""
    rest = "WHERE in_panel AND proposition_id IN (SELECT unnest(?::VARCHAR[])) ORDER BY labeler, proposition_id"
    return select(warehouse, Estimate, rest, [list(propositions)], relation="current_estimates")


def labeler_answers(warehouse: Warehouse) -> pa.Table:
    """Return one row per panel labeler.

    The columns are name, probabilities (a list), without (the number of estimates without one), and is_estimator.
    """
    return warehouse.sql(
        "SELECT labeler AS name, coalesce(list(probability ORDER BY proposition_id) "
        "FILTER (probability IS NOT NULL), []) AS probabilities, count(*) FILTER (probability IS NULL) AS without, "
        f"bool_or(method = '{ESTIMATOR}') AS is_estimator "
        "FROM current_estimates WHERE in_panel GROUP BY labeler ORDER BY labeler"
    )


def valid_judgments(warehouse: Warehouse) -> pa.Table:
    """Return proposition_id, annotator_id, probability and is_simulated of valid judgments, in a stable order."""
    return warehouse.sql(
        "SELECT proposition_id, annotator_id, probability, is_simulated FROM valid_judgments "
        "ORDER BY proposition_id, annotator_id"
    )


def stored_data_path(warehouse: Warehouse) -> str:
    """Return the data path stored in the catalog, which is outdated if catalog and data were moved."""
    return str(warehouse.value(f"SELECT value FROM {CATALOG}.ducklake_metadata WHERE key = 'data_path'"))


def describe_tables(warehouse: Warehouse, *, count: bool = True) -> list[TableDescription]:
    """Describe every table and view with the comments in the catalog, views first. Rows are None unless `count`."""
    listed = warehouse.sql(
        "SELECT view_name AS name, 'view' AS kind, comment FROM duckdb_views() WHERE database_name = 'odds' "
        "AND NOT internal UNION ALL "
        "SELECT table_name, 'table', comment FROM duckdb_tables() WHERE database_name = 'odds' ORDER BY kind DESC, name"
    ).to_pylist()
    columns = warehouse.sql(
        "SELECT table_name, column_name, data_type, comment FROM duckdb_columns() WHERE database_name = 'odds' "
        "ORDER BY table_name, column_index"
    ).to_pylist()
    described = []
    for one in listed:
        comment = one["comment"] or ""
        meanings = column_comments(comment) if one["kind"] == "view" else {}
        own = tuple(
            ColumnDescription(
                column["column_name"],
                column["data_type"],
                column["comment"] or meanings.get(column["column_name"], ""),
            )
            for column in columns
            if column["table_name"] == one["name"]
        )
        rows = warehouse.value(f'SELECT count(*) FROM "{one["name"]}"') if count else None
        described.append(TableDescription(one["name"], one["kind"], rows, comment.partition("\n")[0], own))
    return described


def askers_with_replies(warehouse: Warehouse) -> set[tuple[str, str]]:
    """Return the pairs of labeler (or proposer or judge) and model with at least one reply."""
    rows = warehouse.rows("SELECT DISTINCT labeler, model FROM requests WHERE status <> 'failed'")
    return {(labeler, model) for labeler, model in rows}


def tokens_of_prompts(warehouse: Warehouse) -> dict[tuple[str, str, str], tuple[float, float]]:
    """Return the mean tokens in and out per request, by labeler, model and prompt version, where counted."""
    rows = warehouse.rows(
        "SELECT labeler, model, prompt_version, avg(tokens_in), avg(tokens_out) "
        "FROM requests WHERE tokens_in IS NOT NULL AND tokens_out IS NOT NULL GROUP BY ALL"
    )
    return {(labeler, model, prompt): (tokens_in, tokens_out) for labeler, model, prompt, tokens_in, tokens_out in rows}
