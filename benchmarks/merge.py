"""A merge of 100,000 judgments, half of them changed ones, into 0, 1 and 10 million, beside Delta Lake's MERGE.

    python -m benchmarks.merge [judgments ...]

The same rows go into both: ours through `warehouse.catalog.store.merge` into DuckLake, the peer's through the package
`deltalake` by the same key, updating what differs and inserting the rest. Needs `pip install deltalake`.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import pyarrow as pa

from benchmarks.made import fill, staged_sql
from benchmarks.measure import Clock, measured
from warehouse import open_warehouse
from warehouse.catalog.schema import arrow_schema
from warehouse.catalog.store import merge
from warehouse.records import Judgment

SIZES = (0, 1_000_000, 10_000_000)
ROWS = 100_000
EACH = 5
ROWS_AT_ONCE = 1_000_000


def incoming(catalog: str, size: int) -> pa.Table:
    """100,000 judgments; where there are enough, half of them are there already with another probability."""
    start = max(0, size - ROWS // 2)
    propositions = max(size, ROWS) // EACH
    with open_warehouse(catalog) as warehouse:
        return warehouse.sql(staged_sql(start, start + ROWS, propositions)).cast(arrow_schema(Judgment))


def ours(catalog: str, size: int) -> tuple[object, float]:
    rows = incoming(catalog, size).replace_schema_metadata(arrow_schema(Judgment).metadata)
    with open_warehouse(catalog, read_only=False) as warehouse, Clock() as clock:
        merged = merge(warehouse, rows)
    return merged, clock.seconds


def peer_fill(catalog: str, folder: str, size: int) -> tuple[object, float]:
    from deltalake import write_deltalake

    with open_warehouse(catalog) as warehouse, Clock() as clock:
        empty = arrow_schema(Judgment).empty_table().replace_schema_metadata(None)
        write_deltalake(folder, empty)
        for start in range(0, size, ROWS_AT_ONCE):
            end = min(start + ROWS_AT_ONCE, size)
            rows = warehouse.sql("SELECT * FROM judgments WHERE sequence >= ? AND sequence < ?", [start, end])
            write_deltalake(folder, rows.cast(arrow_schema(Judgment)).replace_schema_metadata(None), mode="append")
    return size, clock.seconds


def peer(catalog: str, folder: str, size: int) -> tuple[object, float]:
    from deltalake import DeltaTable

    rows = incoming(catalog, size).replace_schema_metadata(None)
    with Clock() as clock:
        merged = (
            DeltaTable(folder)
            .merge(rows, "t.judgment_id = s.judgment_id", source_alias="s", target_alias="t")
            .when_matched_update_all("t.probability <> s.probability")
            .when_not_matched_insert_all()
            .execute()
        )
    return merged, clock.seconds


def main() -> None:
    sizes = [int(size) for size in sys.argv[1:]] or SIZES
    print("| into | odds, s | GiB | inserted, changed | deltalake, s | GiB |\n|---|---|---|---|---|---|")
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            catalog, delta = str(Path(folder) / "catalog.sqlite"), str(Path(folder) / "delta")
            with open_warehouse(catalog, read_only=False) as warehouse:
                fill(warehouse, size, EACH) if size else None
            measured(peer_fill, catalog, delta, size)
            other, mine = measured(peer, catalog, delta, size), measured(ours, catalog, size)
            print(
                f"| {size:,} | {mine.seconds:.2f} | {mine.peak_gib:.2f} | {mine.result.inserted:,}, "
                f"{mine.result.updated:,} | {other.seconds:.2f} | {other.peak_gib:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
