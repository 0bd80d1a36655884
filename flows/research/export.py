"""Export: a table, a view or a query of a person, as a file or a dataset folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flows.research.query import asked_files, check_apart, moment, query_text
from flows.services import reading
from flows.settings.settings import Settings
from warehouse.files.export import Format, export


def export_rows(
    settings: Settings,
    what: str,
    output: Path,
    *,
    at: str | None = None,
    chosen: Format | None = None,
    overwrite: bool = False,
    allow: Sequence[Path] = (),
    formulas: bool = False,
) -> str:
    """Write what a person asked for, as it is or was at a snapshot or time; one line that says what was written.

    Raises `InputError` as `warehouse.files.export.export` does, and for an `at` that is no moment.
    """
    text = query_text(what, None)
    check_apart(settings, output, [*allow, *asked_files(what)])
    with reading(settings, moment(at), allow) as warehouse:
        done = export(warehouse, text, output, chosen, overwrite=overwrite, formulas=formulas)
    return f"{done.rows:,} rows in {output}, snapshot {done.snapshot_id}"
