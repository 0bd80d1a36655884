"""The mapping from record fields to Arrow and SQL types, used for every table."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import cache
from operator import attrgetter
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import pyarrow as pa
from pydantic import AwareDatetime

from warehouse.records import TABLES, Record

R = TypeVar("R", bound=Record)

ARROW_TYPES: dict[object, pa.DataType] = {
    str: pa.string(),
    float: pa.float64(),
    int: pa.int64(),
    bool: pa.bool_(),
    datetime: pa.timestamp("us", "UTC"),
    AwareDatetime: pa.timestamp("us", "UTC"),
}
SQL_TYPES: dict[pa.DataType, str] = {
    pa.string(): "VARCHAR",
    pa.float64(): "DOUBLE",
    pa.int64(): "BIGINT",
    pa.bool_(): "BOOLEAN",
    pa.timestamp("us", "UTC"): "TIMESTAMP WITH TIME ZONE",
}


REPEATS = "sequence NULLS LAST, submitted_at NULLS LAST, judgment_id"
"""The order of an annotator's judgments of one proposition, of which the first counts; views have the same order."""


def _arrow_type(annotation: object) -> tuple[pa.DataType, bool]:
    """The Arrow type of a field's annotation, and whether it may be null."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _arrow_type(args[0])
    if origin in (Union, UnionType):
        (inner,) = (arg for arg in args if arg is not NoneType)
        return _arrow_type(inner)[0], NoneType in args
    if origin is Literal:
        return ARROW_TYPES[type(args[0])], False
    if origin is list:
        return pa.list_(_arrow_type(args[0])[0]), False
    return ARROW_TYPES[annotation], False


@cache
def arrow_schema(record: type[Record]) -> pa.Schema:
    """Return the Arrow schema of a record: one column per field, in order, nullable only if the field may be None."""
    fields = []
    for name, info in record.model_fields.items():
        kind, nullable = _arrow_type(info.annotation)
        fields.append(pa.field(name, kind, nullable=nullable))
    return pa.schema(fields, metadata={"table": record.table})


def record_of(schema: pa.Schema) -> type[Record]:
    """Return the record class of an Arrow schema, by the metadata that `arrow_schema` adds.

    Raises:
        ValueError: It is not the schema of a record.
    """
    table = (schema.metadata or {}).get(b"table", b"").decode()
    for record in TABLES:
        if record.table == table and schema.equals(arrow_schema(record)):
            return record
    raise ValueError(f"not the schema of a record; use arrow_schema(Record) instead of {schema}")


def sql_type(kind: pa.DataType) -> str:
    """Return the DuckDB type of an Arrow type."""
    if pa.types.is_list(kind):
        return f"{sql_type(kind.value_type)}[]"
    return SQL_TYPES[kind]


def to_table(record: type[Record], rows: Iterable[Record]) -> pa.Table:
    """Return records as an Arrow table."""
    schema = arrow_schema(record)
    # Column by column, since from_pylist looks up every field of every row and takes three times as long.
    values = zip(*map(attrgetter(*schema.names), rows), strict=True)
    columns = [pa.array(column, field.type) for column, field in zip(values, schema, strict=False)]
    return pa.table(columns, schema=schema) if columns else schema.empty_table()


def to_records(record: type[R], table: pa.Table) -> list[R]:
    """Return the rows of an Arrow table as records."""
    rows: list[dict[str, Any]] = table.to_pylist()
    return [record.model_validate(row) for row in rows]
