"""Exporting a table, a view or a query to a file or to a Hugging Face dataset folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from warehouse.atomic import atomic_folder
from warehouse.catalog.opened import Warehouse
from warehouse.errors import InputError
from warehouse.files.export_card import CardFacts, Tally, card_text, is_export, provenance_of
from warehouse.files.formats import check_output, check_place, parquet_writer, write_batches
from warehouse.queries.stages import TableDescription, describe_tables
from warehouse.queries.user_sql import only_statement, stream
from warehouse.records import now
from warehouse.shards import CARD, SPLITS

Format: TypeAlias = Literal["parquet", "csv", "jsonl", "hf"]
ROWS_A_FILE = 1_000_000
OTHER = "other"


@dataclass(frozen=True)
class Exported:
    """The rows and the snapshot of an export."""

    rows: int
    snapshot_id: int


def write_query(warehouse: Warehouse, query: str, output: Path, *, formulas: bool = False) -> int:
    """Write the result of a query to a .parquet, .csv or .jsonl file, batch by batch. Returns the number of rows.

    An existing file is replaced once the new one is complete. For `formulas` see `write_batches`.

    Raises:
        InputError: The extension is unknown, the query is wrong, or the file cannot be written.
    """
    check_output(output)
    return write_batches(stream(warehouse, only_statement(warehouse, query)), output, formulas=formulas)


def export(
    warehouse: Warehouse,
    what: str,
    output: Path,
    chosen: Format | None = None,
    *,
    overwrite: bool = False,
    formulas: bool = False,
) -> Exported:
    """Write a table, a view or the result of a query to a file or a dataset folder, batch by batch.

    Args:
        warehouse: The warehouse, possibly at a snapshot.
        what: The name of a table or view, or one SELECT.
        output: A file, which is replaced once the new one is complete, or a folder.
        chosen: The format; by default that of the output's extension, or a folder if it has none.
        overwrite: Whether to replace the folder of an earlier export.
        formulas: Whether CSV keeps texts that a spreadsheet would run as formulas.

    Raises:
        InputError: There is no such table, the query is wrong, or the output cannot be written.
    """
    kind = chosen or format_of(output)
    tables = {one.name: one for one in describe_tables(warehouse, count=False)}
    query = _query(warehouse, what, tables)
    if kind == "hf":
        _check_folder(output, overwrite)
        rows = _write_folder(warehouse, what, query, output, tables)
    else:
        check_place(output)
        rows = write_batches(stream(warehouse, query), output, f".{kind}", formulas=formulas)
    return Exported(rows, warehouse.snapshot_id())


def format_of(output: Path) -> Format:
    """Return the format for an output's extension. Raises `InputError` for an unknown one."""
    kind = output.suffix.removeprefix(".").lower()
    if not kind or output.is_dir():
        return "hf"
    for known in get_args(Format):
        if kind == known and known != "hf":
            return known  # type: ignore[no-any-return]
    raise InputError(f"{output}: the extension must be .parquet, .csv or .jsonl, or none for a dataset folder")


def _query(warehouse: Warehouse, what: str, tables: dict[str, TableDescription]) -> str:
    name = _name(what)
    if name == "propositions" and "splits" in tables:  # with the split that counts, not the original one
        return "SELECT p.* REPLACE (s.split AS split) FROM propositions p JOIN splits s USING (proposition_id)"
    if name in tables:
        return f'SELECT * FROM "{name}"'
    if name.isidentifier():
        raise InputError(f"There is no table or view {name!r}; `odds tables` lists them, or give a SELECT")
    return only_statement(warehouse, what)


def _name(what: str) -> str:
    return what.strip().strip('"').lower()


def _check_folder(folder: Path, overwrite: bool) -> None:
    if not folder.parent.is_dir():
        raise InputError(f"{folder} cannot be written: there is no folder {folder.parent}")
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InputError(f"{folder} cannot be written: it is a file; name a folder")
    if not any(folder.iterdir()):
        return
    if not is_export(folder):
        raise InputError(f"{folder} already exists and is not an export; name another folder")
    if not overwrite:
        raise InputError(f"{folder} already exists; name another folder, or replace it with --overwrite")


def _write_folder(
    warehouse: Warehouse, what: str, query: str, folder: Path, tables: dict[str, TableDescription]
) -> int:
    """Write the folder atomically."""
    rows = stream(warehouse, query)
    tally = Tally.of(rows.schema)
    try:
        with atomic_folder(folder.absolute(), replace=True) as partial:
            (partial / "data").mkdir()
            splits = _write_files(rows, partial / "data", tally.add)
            if not splits:
                raise InputError("There are no rows to export, and `datasets` cannot open an empty folder")
            facts = CardFacts(
                title=_name(what) if _name(what) in tables else "A query",
                query=query,
                provenance=provenance_of(warehouse),
                exported_at=now(),
                splits=splits,
                schema=rows.schema,
                tables=tables,
            )
            (partial / CARD).write_text(card_text(facts, tally), encoding="utf-8")
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror or error}") from error
    return tally.rows


def _write_files(batches: pa.RecordBatchReader, folder: Path, see: Callable[[pa.RecordBatch], None]) -> dict[str, int]:
    """Write `train-00000.parquet` ... of at most `ROWS_A_FILE` rows, and return the number of rows by split.

    Rows are divided by their column `split`. Without one, all rows are `train`, as `datasets` calls undivided data.
    """
    written: dict[str, int] = {}
    with ExitStack() as stack:
        writers: dict[str, pq.ParquetWriter] = {}

        def writer_of(split: str) -> pq.ParquetWriter:
            number, full = divmod(written.get(split, 0), ROWS_A_FILE)
            if split not in writers or full == 0:
                if split in writers:
                    writers[split].close()
                path = folder / f"{split}-{number:05d}.parquet"
                writers[split] = stack.enter_context(parquet_writer(path, batches.schema))
            return writers[split]

        for batch in batches:
            see(batch)
            for split, rows in _parted(batch):
                start = 0
                while start < rows.num_rows:
                    room = ROWS_A_FILE - written.get(split, 0) % ROWS_A_FILE
                    part = rows.slice(start, room)
                    writer_of(split).write_batch(part)
                    written[split] = written.get(split, 0) + part.num_rows
                    start += part.num_rows
    return written


def _parted(batch: pa.RecordBatch) -> Iterator[tuple[str, pa.RecordBatch]]:
    if "split" not in batch.schema.names or not pa.types.is_string(batch.schema.field("split").type):
        yield "train", batch
        return
    column = batch.column("split")
    for split in SPLITS:
        yield split, batch.filter(pc.equal(column, split))
    yield OTHER, batch.filter(pc.invert(pc.fill_null(pc.is_in(column, pa.array(SPLITS)), False)))
