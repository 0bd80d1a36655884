"""Which rows of which shards hold a proposition: read from the published files themselves."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb

from warehouse.catalog.connect import Warehouse
from warehouse.catalog.extensions import connection_with
from warehouse.errors import InputError
from warehouse.lineage.kinds import SHARDS
from warehouse.lineage.summaries import Row
from warehouse.shards import read_manifest

# Older shards know no origin (all human). Of a pair both propositions are held.
READ = """
SELECT filename, file_row_number AS row, * EXCLUDE (filename, file_row_number)
FROM read_parquet($1, filename = true, file_row_number = true, union_by_name = true)
"""
PARTS = {
    "propositions": f"SELECT *, proposition_id AS held FROM ({READ}) WHERE proposition_id IN (SELECT unnest($2))",
    "pairs": f"SELECT * FROM (SELECT *, unnest([higher_proposition_id, lower_proposition_id]) AS held FROM ({READ})) "
    "WHERE held IN (SELECT unnest($2))",
}
HELD = ("row", "origin", "mean", "sd", "values", "weights", "n_judgments", "n_estimates", "n_simulated",
        "higher_proposition_id", "lower_proposition_id")  # fmt: skip


def shard_rows(warehouse: Warehouse, propositions: list[str], datasets: list[str] | None = None) -> list[Row]:
    """A row for each proposition and shard that holds it: the shard, `held`, and what stands there; newest set first.

    `row` is its number in the file from 0, `origin` human, synthetic or pairs. A file that cannot be read stands in for
    its set where no other file of that has the proposition, with `row` None and the reason in `_notes`.
    """
    # Shards are sorted by premise; of a pair that is the premise of the higher proposition alone.
    candidates = warehouse.sql(
        f"SELECT s.*, coalesce(s.part, 'propositions') AS _part, p.proposition_id AS held FROM ({SHARDS}) s "
        "JOIN propositions p ON s.first_premise_id IS NULL OR s.part = 'pairs' "
        "OR p.premise_id BETWEEN s.first_premise_id AND s.last_premise_id "
        "WHERE p.proposition_id IN (SELECT unnest($1)) AND ($2 IS NULL OR s.dataset_id IN (SELECT unnest($2))) "
        "ORDER BY s.snapshot_id DESC, s.created_at DESC, s.dataset_id, s.path",
        [propositions, datasets],
    ).to_pylist()
    candidates = [{**row, "folder": str(warehouse.place(row["folder"]))} for row in candidates]
    methods = {folder: method_of(Path(folder)) for folder in {row["folder"] for row in candidates}}
    contents: dict[tuple[str, str], Row] = {}
    broken: dict[str, str] = {}
    for part in PARTS:
        files = sorted({file_of(row) for row in candidates if row["_part"] == part})
        found, unread = _contents(part, files, propositions)
        contents |= found
        broken |= unread
    known = {(row["dataset_id"], row["held"]) for row in candidates if (file_of(row), row["held"]) in contents}
    rows = []
    for row in candidates:
        file, here = file_of(row), {**row, "method": methods[row["folder"]]}
        if inside := contents.get((file, row["held"])):
            rows.append({**here, **inside})
        elif file in broken and row["_part"] != "pairs" and (row["dataset_id"], row["held"]) not in known:
            unknown = {**dict.fromkeys(HELD), "_human": row["held"], "_notes": [f"{broken[file]}, may hold it"]}
            rows.append({**here, **unknown})
    return rows


def first_rows(warehouse: Warehouse, shard: Row, limit: int) -> tuple[list[Row], str | None]:
    """The first rows of a shard, from its file; or why the file cannot be read."""
    folder = warehouse.place(shard["folder"])
    file = str(folder / shard["path"])
    found, unread = _read(f"{READ} ORDER BY row LIMIT {int(limit)}", [file])
    known = {"snapshot_id": shard["snapshot_id"], "method": method_of(folder)}
    return [{**_read_as(row), **known} for row in found], unread.get(file)


def file_of(shard: Row) -> str:
    """The file of a shard."""
    return str(Path(shard["folder"]) / shard["path"])


def method_of(folder: Path) -> str | None:
    """The method of a dataset's consensus, which its manifest alone knows; None where that cannot be read."""
    try:
        return read_manifest(folder).recipe.consensus
    except (InputError, OSError):
        return None


def _contents(
    part: str, files: list[str], propositions: list[str]
) -> tuple[dict[tuple[str, str], Row], dict[str, str]]:
    """What files hold of some propositions, by file and proposition; and why some of them cannot be read."""
    rows, unread = _read(PARTS[part], files, propositions)
    taken = (*HELD, "simulated", "_human", "_synthetic", "_compared")
    found = {(row["filename"], row["held"]): {name: _read_as(row).get(name) for name in taken} for row in rows}
    return found, unread


def _read_as(row: Row) -> Row:
    """A row of a file as a trace needs it: what an older shard does not say, and what the row rests on."""
    if "pair_id" in row:
        both = sorted([row["higher_proposition_id"], row["lower_proposition_id"]])
        known = {"origin": "pairs", "id": row["pair_id"], "simulated": False}
        known["_compared"] = " ".join(both) if row["kind"] == "compared" else None
        return {**dict.fromkeys(HELD), **row, **known}
    origin, held = row.get("origin", "human"), row["proposition_id"]
    rests_on = {"_human": held if origin == "human" else None, "_synthetic": held if origin == "synthetic" else None}
    known = {"origin": origin, "n_estimates": row.get("n_estimates", 0), "simulated": row["n_simulated"] > 0}
    return {**dict.fromkeys(HELD), **row, **known, **rests_on, "id": held}


def _read(query: str, files: Iterable[str], *more: Any) -> tuple[list[Row], dict[str, str]]:
    """The rows of a query over files, all in one go where all can be read; and why some cannot."""
    unread = {file: "file missing" for file in files if not Path(file).is_file()}
    there = [file for file in files if file not in unread]
    try:
        if not there:
            return [], unread
        # A warehouse that is only read reads no files but its own.
        with connection_with(()) as connection:
            return connection.execute(query, [there, *more]).to_arrow_table().to_pylist(), unread
    except duckdb.Error:
        if len(there) == 1:
            return [], {**unread, there[0]: "file cannot be read"}
    rows: list[Row] = []
    for file in there:
        found, why = _read(query, [file], *more)
        rows += found
        unread |= why
    return rows, unread
