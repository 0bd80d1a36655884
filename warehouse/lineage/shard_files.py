"""The rows of published shards that hold a proposition, read from the files themselves."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias

import duckdb

from warehouse.catalog.connect import Warehouse
from warehouse.catalog.extensions import connection_with
from warehouse.errors import InputError
from warehouse.lineage.kinds import SHARDS
from warehouse.shards import read_manifest

Row: TypeAlias = dict[str, Any]

READ = """
SELECT filename, file_row_number AS row, * EXCLUDE (filename, file_row_number)
FROM read_parquet($1, filename = true, file_row_number = true, union_by_name = true)
"""
# A pair holds both of its propositions.
PARTS = {
    "propositions": f"SELECT *, proposition_id AS held FROM ({READ}) WHERE proposition_id IN (SELECT unnest($2))",
    "pairs": f"SELECT * FROM (SELECT *, unnest([higher_proposition_id, lower_proposition_id]) AS held FROM ({READ})) "
    "WHERE held IN (SELECT unnest($2))",
}
HELD = ("row", "origin", "mean", "sd", "values", "weights", "widths", "n_judgments", "n_estimates", "n_simulated",
        "higher_proposition_id", "lower_proposition_id")  # fmt: skip
LINKS = ("_human", "_synthetic", "_derived", "_compared", "_chosen")


def rows_holding(warehouse: Warehouse, propositions: list[str], datasets: list[str] | None = None) -> list[Row]:
    """Return a row for each proposition and each shard that holds it, newest dataset first.

    A row has the columns of the shard, `held` (the proposition) and the content of the file there: `row` is its number
    from 0, `origin` human, synthetic or pairs. If a file cannot be read and no other file of its dataset holds the
    proposition, the row has `row` None and the reason in `_notes`.

    Args:
        warehouse: The warehouse.
        propositions: The ids of the propositions.
        datasets: The ids of the only datasets to look into; None for all.
    """
    # Shards are sorted by premise; for a pair, that is the premise of the higher proposition alone.
    candidates = warehouse.sql(
        f"SELECT s.*, coalesce(s.part, 'propositions') AS _part, p.proposition_id AS held FROM ({SHARDS}) s "
        "JOIN propositions p ON s.first_premise_id IS NULL OR s.part = 'pairs' "
        "OR p.premise_id BETWEEN s.first_premise_id AND s.last_premise_id "
        "WHERE p.proposition_id IN (SELECT unnest($1)) AND ($2 IS NULL OR s.dataset_id IN (SELECT unnest($2))) "
        "ORDER BY s.snapshot_id DESC, s.created_at DESC, s.dataset_id, s.path",
        [propositions, datasets],
    ).to_pylist()
    contents: dict[tuple[str, str], Row] = {}
    broken: dict[str, str] = {}
    methods = {folder: _method(warehouse.place(folder)) for folder in {row["folder"] for row in candidates}}
    for shard in candidates:
        shard |= {"method": methods[shard["folder"]], "folder": str(warehouse.place(shard["folder"]))}
        shard["_file"] = str(Path(shard["folder"]) / shard["path"])
    for part, query in PARTS.items():
        found, unread = _read(query, sorted({row["_file"] for row in candidates if row["_part"] == part}), propositions)
        contents |= {(row["filename"], row["held"]): _content(row) for row in found}
        broken |= unread
    known = {(row["dataset_id"], row["held"]) for row in candidates if (row["_file"], row["held"]) in contents}
    rows = []
    for shard in candidates:
        file, held = shard["_file"], shard["held"]
        place = f"{shard['path']} of {shard['dataset']}"
        if inside := contents.get((file, held)):
            line = f"{place}, row {inside['row']:,} of {shard['rows']:,} (from 0): {_value(inside)}"
            inside = {name: inside.get(name) for name in (*HELD, *LINKS, "simulated")}
            rows.append({**shard, **inside, "_line": line})
        elif file in broken and shard["_part"] != "pairs" and (shard["dataset_id"], held) not in known:
            unknown = {**dict.fromkeys((*HELD, *LINKS)), "_human": held, "_notes": [f"{broken[file]}, may hold it"]}
            rows.append({**shard, **unknown, "_line": f"{place}, {shard['rows']:,} rows"})
    return rows


def first_rows(warehouse: Warehouse, shard: Row, limit: int) -> tuple[list[Row], str | None]:
    """Return the first rows of a shard's file, or why the file cannot be read."""
    folder = warehouse.place(shard["folder"])
    file = str(folder / shard["path"])
    found, unread = _read(f"{READ} ORDER BY row LIMIT {int(limit)}", [file])
    known = {"snapshot_id": shard["snapshot_id"], "method": _method(folder)}
    rows = [{**_content(row), **known} for row in found]
    for row in rows:
        text = f", “{row['hypothesis']}”" if row.get("hypothesis") else ""
        row["_line"] = f"row {row['row']:,} (from 0): {_value(row)}{text}"
    return rows, unread.get(file)


def _method(folder: Path) -> str | None:
    """The consensus method of a dataset, which only its manifest knows; None if that cannot be read."""
    try:
        return read_manifest(folder).recipe.consensus
    except (InputError, OSError):
        return None


def _content(row: Row) -> Row:
    """A row of a file with the columns that older shards lack, and those that link it to what it rests on."""
    row = {**dict.fromkeys((*HELD, *LINKS)), **row}
    if "pair_id" in row:
        both = sorted([row["higher_proposition_id"], row["lower_proposition_id"]])
        held = row.get("held")
        linked = dict.fromkeys(("_compared", "_chosen"))
        if held in (None, both[0]) and (link := f"_{row['kind']}") in linked:
            linked[link] = " ".join(both)
        return {**row, "origin": "pairs", "id": row["pair_id"], "simulated": False,
                **linked, "_derived": held}  # fmt: skip
    held, origin = row["proposition_id"], row["origin"] or "human"
    links = {"_human": held} if origin == "human" else {"_synthetic": held, "_derived": held}
    estimates = row["n_estimates"] or 0
    return {**row, **links, "id": held, "origin": origin, "n_estimates": estimates, "simulated": row["n_simulated"] > 0}


def _value(row: Row) -> str:
    """What a row of a file says."""
    if row["origin"] == "pairs":
        return f"{row['higher_proposition_id'][:12]} above {row['lower_proposition_id'][:12]}"
    spread = "" if row["sd"] is None else f" ± {row['sd']:.3f}"
    judgments = f"{row['n_judgments']:,} judgment{'' if row['n_judgments'] == 1 else 's'}"
    pooled = f" and {row['n_estimates']:,} estimate{'' if row['n_estimates'] == 1 else 's'}"
    return f"{row['mean']:.3f}{spread} of {judgments}{pooled if row['n_estimates'] else ''}"


def _read(query: str, files: Iterable[str], *more: Any) -> tuple[list[Row], dict[str, str]]:
    """The rows of a query over files, read together if all can be read; and why some cannot."""
    unread = {file: "file missing" for file in files if not Path(file).is_file()}
    there = [file for file in files if file not in unread]
    try:
        if not there:
            return [], unread
        # The warehouse's own connection may be sealed against all other files.
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
