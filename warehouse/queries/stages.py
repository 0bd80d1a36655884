"""What the flows ask of the warehouse, each question one query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from warehouse.catalog.connect import ALIAS, Warehouse
from warehouse.catalog.migrate import column_comments
from warehouse.catalog.schema import arrow_schema, to_records
from warehouse.catalog.store import read
from warehouse.records import (
    Agreement,
    ConsensusMethod,
    Dataset,
    Estimate,
    Model,
    PropositionText,
    StudioProject,
)

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
    """A table or view, how many rows it has (None where they were not counted) and what they mean."""

    name: str
    kind: str
    rows: int | None
    comment: str
    columns: tuple[ColumnDescription, ...]


def proposition_texts(warehouse: Warehouse, where: str = "", params: Sequence[object] = ()) -> list[PropositionText]:
    """Propositions with both texts; `where` speaks of `p` (propositions) and `m` (premises).

    Those of one premise stand together: a server that keeps the beginning of a prompt then reads the premise once.
    """
    condition = f"WHERE {where}" if where else ""
    order = "ORDER BY p.premise_id, p.proposition_id"
    return to_records(PropositionText, warehouse.sql(f"{TEXTS} {condition} {order}", params))


def unpushed_propositions(warehouse: Warehouse, project: str) -> list[PropositionText]:
    """Propositions that have no task in a Label Studio project."""
    done = "SELECT proposition_id FROM tasks WHERE project = ?"
    return proposition_texts(warehouse, f"p.proposition_id NOT IN ({done})", [project])


def simulation_truths(warehouse: Warehouse) -> dict[str, float]:
    """What simulated annotators judge around, for each proposition: its target probability, else 0.5."""
    rows = warehouse.sql("SELECT proposition_id, coalesce(target_probability, 0.5) AS truth FROM propositions")
    return dict(zip(rows["proposition_id"].to_pylist(), rows["truth"].to_pylist(), strict=True))


def orphaned_judgments(warehouse: Warehouse, source: str, project: str) -> list[str]:
    """The live judgments of a Label Studio project, by their ids there, that no task names as it was last read."""
    query = (
        "SELECT source_id FROM judgments WHERE source = ? AND batch = ? AND deleted_at IS NULL AND source_id NOT IN "
        "(SELECT unnest(judgments) FROM studio_tasks WHERE project = ?)"
    )
    found: list[str] = warehouse.sql(query, [source, project, project])["source_id"].to_pylist()
    return found


def authors(warehouse: Warehouse, source: str, project: str) -> tuple[dict[int, str], dict[str, str]]:
    """Who judged in a Label Studio project: annotator ids by the user's number, and by the judgment's id there."""
    rows = warehouse.sql(
        "SELECT j.source_id, j.annotator_id, TRY_CAST(a.source_id AS BIGINT) AS number FROM judgments j "
        "JOIN annotators a ON a.annotator_id = j.annotator_id WHERE j.source = ? AND j.batch = ? AND a.source = ?",
        [source, project, source],
    ).to_pylist()
    by_number = {row["number"]: row["annotator_id"] for row in rows if row["number"] is not None}
    return by_number, {row["source_id"]: row["annotator_id"] for row in rows}


def pushed_tasks(warehouse: Warehouse, project: str) -> tuple[int, int]:
    """How many tasks of a Label Studio project are known, and the highest of their numbers there (0 without any)."""
    query = "SELECT count(*) AS n, coalesce(max(CAST(source_id AS BIGINT)), 0) AS top FROM tasks WHERE project = ?"
    row = warehouse.sql(query, [project]).to_pylist()[0]
    return int(row["n"]), int(row["top"])


def studio_project(warehouse: Warehouse, title: str) -> StudioProject | None:
    """The Label Studio project in use under this title of the settings; None before there is one."""
    found = read(warehouse, StudioProject, "title = ? AND retired_at IS NULL", [title])
    return found[0] if found else None


def counts(warehouse: Warehouse) -> pa.Table:
    """How far the work is: stage, n, n_simulated (rows that are simulated, or rest on simulated judgments)."""
    return warehouse.sql("SELECT stage, n, n_simulated FROM progress ORDER BY position")


def consensus_splits(warehouse: Warehouse, method: ConsensusMethod) -> dict[str, int]:
    """How many propositions of each split have a consensus of this method."""
    rows = warehouse.sql(
        "SELECT s.split, count(*) AS n "
        "FROM consensus c JOIN splits s ON s.proposition_id = c.proposition_id WHERE c.method = ? GROUP BY ALL",
        [method],
    )
    return dict(zip(rows["split"].to_pylist(), rows["n"].to_pylist(), strict=True))


def newest_dataset(warehouse: Warehouse, name: str) -> Dataset | None:
    """The dataset of this name with the highest version; None where none is published."""
    columns = ", ".join(arrow_schema(Dataset).names)
    query = f"SELECT {columns} FROM datasets WHERE name = ? ORDER BY version DESC LIMIT 1"
    found = to_records(Dataset, warehouse.sql(query, [name]))
    return found[0] if found else None


def next_version(warehouse: Warehouse, name: str) -> int:
    """The version that the next dataset of this name gets, from 1."""
    newest = newest_dataset(warehouse, name)
    return newest.version + 1 if newest else 1


def newest_model(warehouse: Warehouse, name: str) -> Model | None:
    """The estimator of this name that was trained last; None where none is."""
    columns = ", ".join(arrow_schema(Model).names)
    query = f"SELECT {columns} FROM models WHERE name = ? ORDER BY created_at DESC, model_id LIMIT 1"
    found = to_records(Model, warehouse.sql(query, [name]))
    return found[0] if found else None


def current_agreement(warehouse: Warehouse) -> list[Agreement]:
    """The newest figure of each metric, scope and slice, in the order of these."""
    columns = ", ".join(arrow_schema(Agreement).names)
    newest = "PARTITION BY scope, slice, metric ORDER BY created_at DESC, agreement_id"
    query = f"SELECT {columns} FROM agreement QUALIFY row_number() OVER ({newest}) = 1 ORDER BY scope, slice, metric"
    return to_records(Agreement, warehouse.sql(query))


def agreement_history(warehouse: Warehouse, metric: str, scope: str) -> list[Agreement]:
    """Every figure that was ever recorded of a metric and scope, for all slices, in the order of time."""
    columns = ", ".join(arrow_schema(Agreement).names)
    query = f"SELECT {columns} FROM agreement WHERE metric = ? AND scope = ? ORDER BY created_at, agreement_id"
    return to_records(Agreement, warehouse.sql(query, [metric, scope]))


def current_estimates(warehouse: Warehouse, propositions: Sequence[str]) -> list[Estimate]:
    """The estimate of each labeler of the panel for each of these propositions, also where it gave no probability."""
    columns = ", ".join(f"e.{name}" for name in arrow_schema(Estimate).names)
    query = (
        f"SELECT {columns} FROM current_estimates e SEMI JOIN (SELECT unnest(?::VARCHAR[]) AS proposition_id) wanted "
        "ON wanted.proposition_id = e.proposition_id WHERE e.in_panel ORDER BY e.labeler, e.proposition_id"
    )
    return to_records(Estimate, warehouse.sql(query, [list(propositions)]))


def labeler_answers(warehouse: Warehouse) -> pa.Table:
    """A row for each labeler of the panel: name, probabilities (a list) and without, how many replies gave none."""
    return warehouse.sql(
        "SELECT labeler AS name, coalesce(list(probability ORDER BY proposition_id) "
        "FILTER (probability IS NOT NULL), []) AS probabilities, count(*) FILTER (probability IS NULL) AS without "
        "FROM current_estimates WHERE in_panel GROUP BY labeler ORDER BY labeler"
    )


def valid_judgments(warehouse: Warehouse) -> pa.Table:
    """proposition_id, annotator_id, probability, is_simulated of the judgments that count, in a stable order."""
    return warehouse.sql(
        "SELECT proposition_id, annotator_id, probability, is_simulated FROM valid_judgments "
        "ORDER BY proposition_id, annotator_id"
    )


def stored_data_path(warehouse: Warehouse) -> str:
    """Where the catalog tells that its parquet files lie: another folder than they do where both were moved."""
    query = f"SELECT value FROM __ducklake_metadata_{ALIAS}.ducklake_metadata WHERE key = 'data_path'"
    return str(warehouse.sql(query)["value"][0].as_py())


def describe_tables(warehouse: Warehouse, *, count: bool = True) -> list[TableDescription]:
    """Every table and view: its rows and what it and its columns mean, as the catalog says it. Views come first.

    Rows are None unless they are to be counted.
    """
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
        rows = warehouse.sql(f'SELECT count(*) AS n FROM "{one["name"]}"')["n"][0].as_py() if count else None
        described.append(TableDescription(one["name"], one["kind"], rows, comment.partition("\n")[0], own))
    return described


def askers_with_replies(warehouse: Warehouse) -> set[tuple[str, str]]:
    """Who has had replies of a model, as pairs of asker and model."""
    rows = warehouse.sql("SELECT DISTINCT labeler, model FROM requests WHERE status <> 'failed'")
    return set(zip(rows["labeler"].to_pylist(), rows["model"].to_pylist(), strict=True))


def tokens_of_prompts(warehouse: Warehouse) -> dict[tuple[str, str, str], tuple[float, float]]:
    """The mean tokens in and out of the requests that any were counted for, by labeler, model and prompt version."""
    rows = warehouse.sql(
        "SELECT labeler, model, prompt_version, avg(tokens_in) AS tokens_in, avg(tokens_out) AS tokens_out "
        "FROM requests WHERE tokens_in IS NOT NULL AND tokens_out IS NOT NULL GROUP BY ALL"
    )
    return {
        (row["labeler"], row["model"], row["prompt_version"]): (row["tokens_in"], row["tokens_out"])
        for row in rows.to_pylist()
    }
