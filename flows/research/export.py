"""Export: a table, a view or a query of a person, as a file or a dataset folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flows.research.query import asked_files, check_apart, moment, query_text
from flows.settings.settings import Config, load_settings
from flows.stages.services import reading
from warehouse.files.export import Exported, Format
from warehouse.files.export import export as export_from


def export(
    what: str,
    output: Path | str,
    *,
    format_: Format | None = None,
    at: str | None = None,
    overwrite: bool = False,
    allow: Sequence[Path] = (),
    keep_formulas: bool = False,
    config: Config = None,
) -> Exported:
    """Write a table, a view or the rows of a query to a file or a dataset folder.

    Args:
        what: The name of a table or view, a SELECT, @FILE, or - for the standard input.
        output: A .parquet, .csv or .jsonl file, which is replaced; a path without an extension is a folder.
        format_: The format, if the extension does not tell it.
        at: A snapshot's number or a time: write the rows as they were then.
        overwrite: Replace the folder of an earlier export.
        allow: Files and folders that the query may read.
        keep_formulas: Leave texts in CSV as they are that a spreadsheet would run as formulas.
        config: The settings, or the file to read them from.

    Raises:
        InputError: the query, the output or `at` cannot be used.
    """
    settings, output, text = load_settings(config), Path(output), query_text(what, None)
    check_apart(settings, output, [*allow, *asked_files(what)])
    with reading(settings, moment(at), allow) as warehouse:
        return export_from(warehouse, text, output, format_, overwrite=overwrite, formulas=keep_formulas)
