"""Checks that a person's query only reads, with DuckDB's own lexer and parser.

A connection opened for reading has its catalog attached read-only and reaches no other file. But DuckDB lets every
connection attach the catalog again for writing, and some DuckLake functions remove files through a read-only catalog.
So only SELECT runs, and only with table functions that are known to read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import duckdb

from warehouse.errors import InputError

SELECT, EXPLAIN, CREATE = duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN, duckdb.StatementType.CREATE
COMMENTS = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
FUNCTIONS = (
    "SELECT DISTINCT lower(function_name), function_type IN ('table', 'table_macro', 'pragma') FROM duckdb_functions()"
)
PARSED_ONLY = "SELECT json_serialize_sql(?::VARCHAR)"
_READERS = """
range generate_series unnest repeat repeat_row json_each json_tree histogram histogram_values summary read_csv
read_csv_auto read_parquet parquet_scan read_json read_json_auto read_json_objects read_json_objects_auto read_ndjson
read_ndjson_auto read_ndjson_objects read_text read_blob glob sniff_csv parquet_metadata parquet_schema
parquet_file_metadata parquet_kv_metadata parquet_full_metadata parquet_bloom_probe duckdb_columns duckdb_constraints
duckdb_databases duckdb_extensions duckdb_functions duckdb_indexes duckdb_keywords duckdb_memory duckdb_optimizers
duckdb_schemas duckdb_secrets duckdb_settings duckdb_tables duckdb_temporary_files duckdb_types duckdb_views
icu_calendar_names pg_timezone_names pragma_collations pragma_database_size pragma_platform pragma_show
pragma_storage_info pragma_table_info pragma_version test_all_types test_vector_types ducklake_current_snapshot
ducklake_last_committed_snapshot ducklake_list_files ducklake_options ducklake_settings ducklake_snapshots
ducklake_table_changes ducklake_table_deletions ducklake_table_info ducklake_table_insertions current_snapshot
last_committed_snapshot options settings snapshots table_changes table_deletions table_info table_insertions
"""
READERS = frozenset(_READERS.split())
# These are scalar functions, but they bind a query or write a log.
NEVER = frozenset({"json_serialize_plan", "write_log"})


def only_reading(connection: duckdb.DuckDBPyConnection, text: str) -> list[str]:
    """Split a text into its statements, each with the comments before it.

    Raises:
        InputError: A statement does more than read, or the text has characters that no query can have.
        duckdb.Error: The text cannot be parsed.
    """
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise InputError("The query contains an invalid character (NUL or half a surrogate pair); remove it")
    connection.extract_statements(text)
    found = list(_parts(text))
    for part in found:
        _check(connection, part)
    return found


def _tokens(text: str) -> list[tuple[str, str]]:
    """The tokens with their kinds. Spaces and comments belong to the token before them."""
    coded = text.encode()
    places = duckdb.tokenize(text)
    ends = [*(place for place, _ in places[1:]), len(coded)]
    return [(coded[place:end].decode(), kind.name) for (place, kind), end in zip(places, ends, strict=False)]


def _parts(text: str) -> Iterator[str]:
    """The texts between semicolons, without those that have only comments."""
    coded, start = text.encode(), 0
    ends = [place for place, kind in duckdb.tokenize(text) if coded[place : place + 1] == b";"]
    for end in [*ends, len(coded)]:
        part = coded[start:end].decode().strip()
        if duckdb.tokenize(part):
            yield part
        start = end + 1


def _check(connection: duckdb.DuckDBPyConnection, statement: str) -> None:
    """Raise `InputError` if a statement does more than read."""
    kinds = [one.type for one in connection.extract_statements(statement)]
    before, last = set(kinds[:-1]), kinds[-1]
    if last == SELECT and not before:
        _check_called(connection, statement)
    elif last == SELECT and before == {CREATE}:
        # PIVOT looks its values up first, and DuckDB keeps them in a temporary enum.
        _check_named(connection, statement)
    elif last == EXPLAIN and before <= {CREATE}:
        _check(connection, _explained(statement))
    else:
        raise InputError(
            f"The query would do more than read ({last.name}); only SELECT and similar statements run here. "
            "Use `odds import` to add rows"
        )


def _explained(statement: str) -> str:
    """The statement after EXPLAIN or EXPLAIN ANALYZE."""
    words = [word for word, _ in _tokens(statement)][1:]
    return "".join(words[1:] if words and words[0].strip().lower() == "analyze" else words)


def _check_called(connection: duckdb.DuckDBPyConnection, statement: str) -> None:
    """Raise `InputError` if a function in the parsed statement may do more than read."""
    try:
        # A cursor does not use the catalog, of which DuckLake would load the newest state.
        tree = json.loads(connection.cursor().execute(PARSED_ONLY, [statement]).fetchall()[0][0])
    except RecursionError as error:
        raise InputError("The query is nested too deeply; split it into steps with WITH") from error
    if tree.get("error") or len(tree["statements"]) != 1:
        raise InputError(f"The query cannot be checked: {tree.get('error_message', 'it is not a single statement')}")
    for node in _nodes(tree):
        name = str(node.get("function_name", "")).lower()
        if node.get("type") == "TABLE_FUNCTION":
            name = str(node["function"].get("function_name", "")).lower()
            if name not in READERS:
                raise _may_write(name)
        elif name in NEVER:
            raise _may_write(name)


def _nodes(tree: object) -> Iterator[dict[str, Any]]:
    pending = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            yield node
            pending.extend(node.values())
        elif isinstance(node, list):
            pending.extend(node)


def _check_named(connection: duckdb.DuckDBPyConnection, statement: str) -> None:
    """Do the same for a statement whose parse tree DuckDB does not show, by the names before parentheses.

    An unknown function may be a table function of the catalog, so it is refused too.
    """
    functions = connection.execute(FUNCTIONS).fetchall()
    writers = {name for name, is_table in functions if is_table} - READERS | NEVER
    known = {name for name, is_table in functions if not is_table} | READERS
    tokens = _tokens(statement)
    for (word, kind), (following, _) in pairwise(tokens):
        name = COMMENTS.sub("", word).strip().strip('"').lower()
        if following.startswith("(") and (name in writers or (kind == "identifier" and name not in known)):
            raise _may_write(name)


def _may_write(name: str) -> InputError:
    return InputError(
        f"The query calls {name or 'a function'}(), which may do more than read; only functions that read are allowed"
    )
