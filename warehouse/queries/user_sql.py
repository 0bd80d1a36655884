"""Queries that a person wrote: only those that read, one at a time, and mistakes in one line."""

from __future__ import annotations

import re
from collections import Counter
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from warehouse.catalog.faults import fault_of
from warehouse.errors import InputError
from warehouse.queries.read_only import only_reading

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warehouse.catalog.opened import Warehouse

INTERRUPTED = "INTERRUPT Error"
# What the database says about a mistake that a person can make, and the line for it.
MISTAKES = (
    (r"""Cannot access file "(https?://[^"]*)""", "a query reads no address such as {0}: fetch it, then --allow it"),
    (
        r"""Cannot access (?:file|directory) "([^"]*)""",
        "it may not read {0}: a query reads the warehouse and what --allow names",
    ),
    (r"""No files found that match the pattern "([^"]*)""", "there is no file {0}"),
    (
        r"""Table with name (.*?) does not exist!(?:\s*Did you mean "([^"]*)")?""",
        "there is no table or view {0}; `odds tables` lists what there is",
    ),
)


def statements(warehouse: Warehouse, text: str) -> list[str]:
    """Return the statements of a text, each with the comments before it.

    Raises:
        InputError: it is empty, cannot be parsed, or one of them does more than read.
    """
    with query_mistakes():
        found = only_reading(warehouse.connection, text)
    if not found:
        raise InputError("The query is empty: write one SELECT; `odds tables` shows what there is")
    return found


def only_statement(warehouse: Warehouse, text: str) -> str:
    """Return the one statement of a text. Raises `InputError` as `statements` does, and where there are several."""
    found = statements(warehouse, text)
    if len(found) > 1:
        raise InputError(f"There are {len(found)} queries, where one is needed: give them one at a time")
    return found[0]


def head(warehouse: Warehouse, query: str, limit: int) -> tuple[pa.Table, int]:
    """Return the first `limit` rows of a query and how many it has in all, which are counted batch by batch.

    Raises:
        InputError: the query is wrong.
    """
    with query_mistakes():
        reader = _reader(warehouse, query)
        first: list[pa.RecordBatch] = []
        total = 0
        for batch in reader:
            if total < limit:
                first.append(batch.slice(0, limit - total))
            total += batch.num_rows
        return pa.Table.from_batches(first, reader.schema), total


def stream(warehouse: Warehouse, query: str) -> pa.RecordBatchReader:
    """Return the rows of a query, batch by batch; every column has a name of its own.

    The first batch is there when this returns, so that most mistakes show before anything is written.

    Raises:
        InputError: the query is wrong, or two of its columns have one name; also while the stream is read.
    """
    with query_mistakes():
        reader = _reader(warehouse, query)
    twice = [name for name, times in Counter(reader.schema.names).items() if times > 1]
    if twice:
        raise InputError(f"Two columns of the query are called {twice[0]!r}: give one of them another name with AS")
    batches = _guarded(reader)
    first = next(batches, None)
    return pa.RecordBatchReader.from_batches(reader.schema, chain([] if first is None else [first], batches))


def _reader(warehouse: Warehouse, query: str) -> pa.RecordBatchReader:
    """The rows of a query, batch by batch; where one is wrong, the stream ends in the mistake itself.

    DuckDB then stops its other threads, and now and then their "Interrupted!" reaches the stream before the mistake
    does. EXPLAIN ANALYZE runs the query to its end without a stream, and tells the mistake.
    """
    reader = warehouse.batches(query)

    def rows() -> Iterator[pa.RecordBatch]:
        try:
            yield from reader
        except OSError as error:
            if INTERRUPTED in str(error):
                warehouse.connection.execute(f"EXPLAIN ANALYZE {query}")
            raise

    return pa.RecordBatchReader.from_batches(reader.schema, rows())


def _guarded(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    with query_mistakes():
        yield from reader


@contextmanager
def query_mistakes() -> Iterator[None]:
    """Turn what the database says about a query into an `InputError` of one line."""
    try:
        yield
    except (duckdb.Error, OSError) as error:
        # What goes wrong while a stream is read comes through Arrow, as an error of no system call.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        for sign, line in MISTAKES:
            if found := re.search(sign, str(error)):
                raise InputError(f"The query cannot be run: {line.format(*found.groups())}") from error
        if fault := fault_of(error, "of the warehouse"):
            raise fault from error
        raise InputError(f"The query cannot be run: {_first_lines(error)}") from error


def _first_lines(error: Exception) -> str:
    """What the database says, without the picture of the query that it draws."""
    return " ".join(line.strip() for line in str(error).split("\n\n")[0].splitlines() if line.strip())
