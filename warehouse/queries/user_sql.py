"""SQL that a person wrote: it may only read, and its mistakes become errors of one line."""

from __future__ import annotations

import re
from collections import Counter
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pyarrow as pa

from warehouse.catalog.faults import fault_of
from warehouse.catalog.read_only import only_reading
from warehouse.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warehouse.catalog.opened import Warehouse

INTERRUPTED = "INTERRUPT Error"
INTERVAL, DURATION = pa.month_day_nano_interval(), pa.duration("us")
INTERVAL_PARTS = np.dtype([("months", "<i4"), ("days", "<i4"), ("nanoseconds", "<i8")])
DAY_US = 86_400_000_000
# What DuckDB says about mistakes that a person can make, and what we say.
MISTAKES = (
    (r"""Cannot access file "(https?://[^"]*)""", "it cannot read from an address ({0}); download it, then --allow it"),
    (
        r"""Cannot access (?:file|directory) "([^"]*)""",
        "it may not read {0}: a query reads only the warehouse and what --allow names",
    ),
    (r"""No files found that match the pattern "([^"]*)""", "there is no file {0}"),
    (
        r"""Table with name (.*?) does not exist!(?:\s*Did you mean "([^"]*)")?""",
        "there is no table or view {0}; `odds tables` lists them",
    ),
    (
        r"No snapshot found at (version|timestamp) (.*)",
        "there is no snapshot of {0} {1}, or it has expired; `odds snapshots` lists them",
    ),
)


def statements(warehouse: Warehouse, text: str) -> list[str]:
    """Split a text into its statements, each with the comments before it.

    Raises:
        InputError: The text is empty or cannot be parsed, or a statement does more than read.
    """
    with query_mistakes():
        found = only_reading(warehouse.connection, text)
    if not found:
        raise InputError("The query is empty; write a SELECT (`odds tables` lists the tables)")
    return found


def only_statement(warehouse: Warehouse, text: str) -> str:
    """Return the one statement of a text. Raises `InputError` as `statements` does, or if there are several."""
    found = statements(warehouse, text)
    if len(found) > 1:
        raise InputError(f"Expected one query, got {len(found)} queries; run them one at a time")
    return found[0]


def head(warehouse: Warehouse, query: str, limit: int) -> tuple[pa.Table, int]:
    """Return the first `limit` rows of a query and the total number of rows, counted batch by batch.

    Raises:
        InputError: The query is wrong.
    """
    schema, batches = _run(warehouse, query)
    first: list[pa.RecordBatch] = []
    total = 0
    for batch in batches:
        if total < limit:
            first.append(batch.slice(0, limit - total))
        total += batch.num_rows
    return pa.Table.from_batches(first, schema), total


def stream(warehouse: Warehouse, query: str) -> pa.RecordBatchReader:
    """Return the rows of a query batch by batch.

    The first batch is read right away, so that most mistakes show before anything is written.

    Raises:
        InputError: The query is wrong, or two columns have the same name. Can also come while the stream is read.
    """
    schema, batches = _run(warehouse, query)
    twice = [name for name, times in Counter(schema.names).items() if times > 1]
    if twice:
        raise InputError(f"Two columns of the query are called {twice[0]!r}; rename one with AS")
    first = next(batches, None)
    return pa.RecordBatchReader.from_batches(schema, chain([] if first is None else [first], batches))


def _run(warehouse: Warehouse, query: str) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """Start a query. On an error DuckDB interrupts its other threads, and now and then only "Interrupted!" arrives.

    Then the query runs once more, to its end and without a stream, which reports the error itself.
    """
    with query_mistakes():
        reader = warehouse.batches(query)
    schema = pa.schema([_plain(field) for field in reader.schema])

    def batches() -> Iterator[pa.RecordBatch]:
        with query_mistakes():
            try:
                yield from (_with_durations(batch, schema) for batch in reader)
            except OSError as error:
                if INTERRUPTED in str(error):
                    warehouse.connection.execute(f"EXPLAIN ANALYZE {query}")
                raise

    return schema, batches()


def _plain(field: pa.Field) -> pa.Field:
    return field.with_type(DURATION) if field.type == INTERVAL else field


def _with_durations(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The rows with intervals, as between two times, as durations: parquet has no intervals, and nobody can read them.

    Raises:
        InputError: An interval has months, which differ in length.
    """
    if batch.schema == schema:
        return batch
    columns = [
        _as_duration(field.name, values) if field.type == INTERVAL else values
        for field, values in zip(batch.schema, batch.columns, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _as_duration(name: str, values: pa.Array) -> pa.Array:
    parts = np.frombuffer(values.buffers()[1], INTERVAL_PARTS)[values.offset :][: len(values)]
    absent = values.is_null().to_numpy(zero_copy_only=False)
    if parts["months"][~absent].any():
        raise InputError(
            f"The column {name!r} of the query has intervals of months, which differ in length; "
            "write CAST(... AS VARCHAR) to see them as text"
        )
    microseconds = parts["days"].astype(np.int64) * DAY_US + parts["nanoseconds"] // 1000
    return pa.array(microseconds, pa.int64(), mask=absent).cast(DURATION)


@contextmanager
def query_mistakes() -> Iterator[None]:
    """Turn DuckDB's errors about a query into an `InputError` of one line."""
    try:
        yield
    except (duckdb.Error, OSError) as error:
        # Errors while a stream is read come through Arrow, as an OSError without errno.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        for sign, line in MISTAKES:
            if found := re.search(sign, str(error)):
                raise InputError(f"The query cannot be run: {line.format(*found.groups())}") from error
        if fault := fault_of(error, "of the warehouse"):
            raise fault from error
        raise InputError(f"The query cannot be run: {_first_lines(error)}") from error


def _first_lines(error: Exception) -> str:
    """DuckDB's message without its excerpt of the query."""
    return " ".join(line.strip() for line in str(error).split("\n\n")[0].splitlines() if line.strip())
