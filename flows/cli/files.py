"""The options of commands that read a person's file."""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

File = Annotated[Path, typer.Argument(help="A CSV (also TSV), JSON Lines or parquet file.")]
ColumnOption = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        help="FIELD=COLUMN if the column has another name, FIELD= if there is none; "
        "COLUMN:/0/KEY reads JSON in its cells. Repeat for each field.",
    ),
]
READING = {
    "separator": Annotated[
        str | None,
        typer.Option("--separator", help="Of a CSV: comma, semicolon, tab, pipe or a character. Detected by default."),
    ],
    "encoding": Annotated[
        str | None,
        typer.Option("--encoding", help="Such as utf-8, utf-16 or windows-1250. Detected by default, if possible."),
    ],
    "decimal": Annotated[
        Literal["point", "comma"] | None, typer.Option("--decimal", help="The decimal mark. Detected by default.")
    ],
    "dates": Annotated[
        Literal["day-first", "month-first", "epoch", "epoch-ms", "excel"] | None,
        typer.Option(
            "--dates",
            help="The order of day and month in dates such as 03/04/2024, detected if only one fits; "
            "or the unit of numbers: seconds (epoch) or milliseconds (epoch-ms) since 1970, or Excel's days.",
        ),
    ],
    "missing": Annotated[
        list[str] | None,
        typer.Option(
            "--missing", help="A word for a missing value, such as -99, besides NA, NaN, NULL, None. Repeatable."
        ),
    ],
    "entities": Annotated[
        bool | None,
        typer.Option(
            "--entities/--no-entities",
            help="Read texts as HTML, where &amp; is &. By default only for MTurk.",
            show_default=False,
        ),
    ],
}
"""The options about how a file is read, by the fields of `Reading`."""


def reads(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command these options of `READING`, after its own; what they say is its argument `reading`."""

    def with_options(command: Callable[..., None]) -> Callable[..., None]:
        def run(**given: Any) -> None:
            from warehouse.files.reading import Reading

            told = {name: given.pop(name) for name in names}
            reading = Reading.model_validate({name: value for name, value in told.items() if value is not None})
            command(**given, reading=reading)

        own = [each for each in signature(command, eval_str=True).parameters.values() if each.name != "reading"]
        added = [Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=READING[name]) for name in names]
        run.__name__, run.__doc__ = command.__name__, command.__doc__
        run.__signature__ = Signature([*own, *added])  # type: ignore[attr-defined]
        return run

    return with_options
