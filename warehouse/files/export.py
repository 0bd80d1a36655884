"""Exporting a table, a view or a query: one file, or a dataset folder in the form of Hugging Face."""

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
from warehouse.files.export_card import CARD, CardFacts, Tally, card_text, is_export, provenance_of
from warehouse.files.formats import check_output, check_place, parquet_writer, write_batches
from warehouse.queries.stages import TableDescription, describe_tables
from warehouse.queries.user_sql import only_statement, stream
from warehouse.records import now

Format: TypeAlias = Literal["parquet", "csv", "jsonl", "hf"]
ROWS_A_FILE = 1_000_000
SPLITS = ("train", "dev", "test")
OTHER = "other"


@dataclass(frozen=True)
class Exported:
    """What an export wrote, and the snapshot that it shows."""

    rows: int
    snapshot_id: int


def write_query(warehouse: Warehouse, query: str, output: Path, *, formulas: bool = False) -> int:
    """Write the result of a query to a .parquet, .csv or .jsonl file, batch by batch; how many rows it has.

    A file that is there is replaced once the new one is whole. `formulas` is what it is in `write_batches`.

    Raises:
        InputError: an unknown extension, a wrong query, or a file that cannot be written. Nothing half-written stays.
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
        warehouse: at a snapshot, or whatever is the latest one.
        what: the name of a table or view, or one SELECT.
        output: a file, which is replaced once the new one is whole, or a folder.
        chosen: the format; that of the extension of the output where it is not given, a folder where it has none.
        overwrite: whether the folder of an earlier export is replaced.
        formulas: whether CSV keeps texts that a spreadsheet would run as formulas.

    Raises:
        InputError: no such table, a wrong query, or an output that cannot be written. Nothing half-written stays.
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
    """The format that the extension of an output names. Raises `InputError` for one that we do not know."""
    kind = output.suffix.removeprefix(".").lower()
    if not kind or output.is_dir():
        return "hf"
    for known in get_args(Format):
        if kind == known and known != "hf":
            return known  # type: ignore[no-any-return]
    raise InputError(f"{output}: the extension must be .parquet, .csv or .jsonl, or none for a dataset folder")


def _query(warehouse: Warehouse, what: str, tables: dict[str, TableDescription]) -> str:
    name = _name(what)
    if name == "propositions" and "splits" in tables:  # the split that counts, not the one that it came with
        return "SELECT p.* REPLACE (s.split AS split) FROM propositions p JOIN splits s USING (proposition_id)"
    if name in tables:
        return f'SELECT * FROM "{name}"'
    if name.isidentifier():
        raise InputError(f"There is no table or view {name!r}: `odds tables` lists them; or give one SELECT")
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
        raise InputError(f"{folder} is there already, and no export of ours: name another folder")
    if not overwrite:
        raise InputError(f"{folder} is there already: name another folder, or replace it with --overwrite")


def _write_folder(
    warehouse: Warehouse, what: str, query: str, folder: Path, tables: dict[str, TableDescription]
) -> int:
    """Write the folder beside its place and rename it there when it is whole."""
    rows = stream(warehouse, query)
    tally = Tally.of(rows.schema)
    try:
        with atomic_folder(folder.absolute(), replace=True) as partial:
            (partial / "data").mkdir()
            splits = _write_files(rows, partial / "data", tally.add)
            if not splits:
                raise InputError("There are no rows to export: `datasets` cannot open a folder without any")
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
    """Write `train-00000.parquet` ... of at most `ROWS_A_FILE` rows; the rows of each split.

    Rows are parted by a column `split` with the names that a training set has; all of them are `train` where there is
    no such column, which is the name that `datasets` gives to what is not parted.
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
