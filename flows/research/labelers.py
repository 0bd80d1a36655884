"""The quality of labelers for people: tables for a terminal, and a picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from rich.table import Table
from rich.text import Text

from flows.research.figures import check_picture
from flows.settings.settings import Config, Settings, load_settings
from flows.stages.services import reading
from flows.terminal.console import money
from flows.terminal.tables import narrow_table, with_room_for_names
from training.evaluation.labeler_pictures import LabelerCurve, write_labelers
from training.evaluation.metrics import Bin, reliability
from warehouse.errors import InputError
from warehouse.queries.labelers import labeler_estimates, labeler_quality

Row = dict[str, Any]
NOTHING_YET = "no labeler has answered yet; run odds elicit"


def labelers(*, config: Config = None) -> list[Row]:
    """Return the granularity, accuracy, calibration, refusals and cost of each labeler version.

    One row per version, with the columns of the view `labeler_quality`.
    """
    with reading(load_settings(config)) as warehouse:
        return labeler_quality(warehouse)


def labeler_tables(rows: Sequence[Row]) -> list[Table | str]:
    """Return tables of the rows of `labelers` for a terminal, each below its title.

    Raises:
        InputError: no labeler has answered yet.
    """
    if not rows:
        raise InputError(NOTHING_YET)
    names = shown_names(rows)
    estimating = [(name, row) for name, row in zip(names, rows, strict=True) if row["method"] != "pairwise"]
    comparing = [(name, row) for name, row in zip(names, rows, strict=True) if row["method"] == "pairwise"]
    judged = [(name, row) for name, row in estimating if row["n_judged"]]
    held_out = [(name, row) for name, row in estimating if row["n_held_out"]]
    parts: list[Table | str] = [_caption(rows)]
    if judged:
        parts += [
            "\nbeside people's mean judgments; calibration is an error too, over ten bins of estimates",
            _beside_people(judged),
        ]
    if held_out:
        parts += ["\ncalibration error before and after recalibration, on the test split", _recalibrated(held_out)]
    if comparing:
        parts += ["\npairs, asked both ways round", _pairs(comparing)]
    if estimating:
        title = "\nhow fine the estimates are; the last column: beyond the 0.21 of an even spread"
        parts += [title, _coarseness(estimating)]
    title = "\nwhat a usable answer costs, in the currency of the prices in the settings"
    parts += [title, _cost([*estimating, *comparing])]
    return parts


def write_labeler_picture(settings: Settings, path: Path) -> None:
    """Draw the distribution of each labeler's values, its calibration and its figures to an SVG file.

    Raises:
        InputError: No labeler has answered yet, or the file cannot be written.
    """
    check_picture(path)
    with reading(settings) as warehouse:
        rows, estimates = labeler_quality(warehouse), labeler_estimates(warehouse)
    if not rows:
        raise InputError(NOTHING_YET)
    named = zip(shown_names(rows), rows, strict=True)
    write_labelers([labeler_curve(name, row, estimates) for name, row in named], path)


def shown_names(rows: Sequence[Row]) -> list[str]:
    """The labelers' names, followed by the first digits of the version if there are several."""
    times = Counter(row["labeler"] for row in rows)
    return [
        row["labeler"] if times[row["labeler"]] == 1 else f"{row['labeler']} {row['labeler_version'][:6]}"
        for row in rows
    ]


def labeler_curve(name: str, row: Row, estimates: pa.Table) -> LabelerCurve:
    """What to draw for a labeler version, from its row of labeler_quality and all estimates."""
    own = estimates.filter(
        pc.and_(
            pc.equal(estimates["labeler"], row["labeler"]),
            pc.equal(estimates["labeler_version"], row["labeler_version"]),
        )
    )
    values = own["estimate"].to_numpy().astype(np.float64)
    raw, recalibrated = _bins(own, "estimate"), _bins(own, "recalibrated")
    basis = (row["n_judgments"], row["n_simulated"])
    return LabelerCurve(name, values, raw, recalibrated, *basis, figures=figures_of(row), remark=_remark(row))


def figures_of(row: Row) -> list[tuple[str, str]]:
    """The figures next to a labeler's picture, by name, as far as it has them."""
    each = row["cost_per_estimate"]
    no_price = "no price" if row["n_unpriced"] and row["n_estimates"] + row["n_comparisons"] else ""
    usable = [("cost of 1,000 usable", money(None if each is None else each * 1000) or no_price)]
    paid = [("total cost", _paid(row))]
    if row["method"] == "pairwise":
        pairs = [("pairs ordered", f"{row['n_comparisons']:,}"), ("refused", f"{row['refusal_rate']:.1%}")]
        beside = [("judged", f"{row['n_judged']:,}"), ("ordered as people do", _number(row["share_in_order"]))]
        return _with_values([*pairs, *beside, *usable, *paid])
    fine = [
        ("distinct values", f"{row['n_distinct']:,}" if row["n_estimates"] else ""),
        ("on the top 3", _share(row["top3_mass"])),
        ("multiples of 5%", _share(row["share_multiples_of_5"])),
        ("refused", f"{row['refusal_rate']:.1%}"),
    ]
    beside = [
        ("judged", f"{row['n_judged']:,}" if row["n_estimates"] else ""),
        ("Pearson", _number(row["pearson"])),
        ("mean error", _number(row["mean_absolute_error"])),
        ("calibration error", _number(row["calibration_error"])),
    ]
    return _with_values([*fine, *beside, *usable, *paid])


def _with_values(figures: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in figures if value]


def _remark(row: Row) -> str:
    if row["method"] == "pairwise":
        return "compares pairs in both orders; it gives no values"
    asked = row["n_without"]
    return "" if row["n_estimates"] else f"no usable estimate of {asked:,} proposition{'s' if asked != 1 else ''}"


def _bins(rows: pa.Table, column: str) -> list[Bin]:
    """The reliability diagram of a column against the judgments, for the rows that have both."""
    both = rows.filter(pc.and_(pc.is_valid(rows[column]), pc.is_valid(rows["judged"])))
    return reliability(both[column].to_numpy().astype(np.float64), both["judged"].to_numpy().astype(np.float64))


def _beside_people(rows: Sequence[tuple[str, Row]]) -> Table:
    table = narrow_table("labeler", "judged", "simulated", "Pearson", "Spearman", "error", "bias", "calibr.")
    for name, row in rows:
        simulated = _simulated(row)
        figures = (row["pearson"], row["spearman"], row["mean_absolute_error"])
        bias, error = _signed(row["mean_difference"]), _number(row["calibration_error"])
        table.add_row(Text(name), f"{row['n_judged']:,}", simulated, *map(_number, figures), bias, error)
    return with_room_for_names(table)


def _recalibrated(rows: Sequence[tuple[str, Row]]) -> Table:
    table = narrow_table("labeler", "propositions", "as given", "recalibrated", "fitted on simulated")
    for name, row in rows:
        errors = (row["calibration_error_held_out"], row["calibration_error_recalibrated"])
        simulated = "yes" if row["is_recalibration_simulated"] else "no"
        table.add_row(Text(name), f"{row['n_held_out']:,}", *map(_number, errors), simulated)
    return with_room_for_names(table)


def _pairs(rows: Sequence[tuple[str, Row]]) -> Table:
    table = narrow_table("labeler", "ordered", "not ordered", "judged", "simulated", "ordered as people do")
    for name, row in rows:
        counts = (f"{row[column]:,}" for column in ("n_comparisons", "n_without", "n_judged"))
        table.add_row(Text(name), *counts, _simulated(row), _number(row["share_in_order"]))
    return with_room_for_names(table)


def _coarseness(rows: Sequence[tuple[str, Row]]) -> Table:
    table = narrow_table(
        "labeler", "method", "estimates", "values", "on top 3", "entropy", "multiples of 5%", texts=["method"]
    )
    for name, row in rows:
        counts = (f"{row['n_estimates']:,}", f"{row['n_distinct']:,}")
        shares = (_number(row["top3_mass"]), _number(row["entropy_share"]))
        table.add_row(Text(name), row["method"], *counts, *shares, _signed(row["excess_multiples_of_5"]))
    return with_room_for_names(table)


def _cost(rows: Sequence[tuple[str, Row]]) -> Table:
    table = narrow_table("labeler", "usable", "refused", "requests", "tokens each", "total cost", "1,000 answers")
    for name, row in rows:
        tokens, each = row["tokens_per_estimate"], row["cost_per_estimate"]
        table.add_row(
            Text(name),
            f"{row['n_estimates'] + row['n_comparisons']:,}",
            f"{row['refusal_rate']:.1%}",
            f"{row['n_requests']:,}",
            "" if tokens is None else f"{tokens:,.0f}",
            _paid(row),
            money(None if each is None else each * 1000),
        )
    return with_room_for_names(table)


def _paid(row: Row) -> str:
    """The total cost, and how many replies have an unknown price."""
    if row["n_unpriced"]:
        return f"{money(row['cost'])} + {row['n_unpriced']:,} unknown".removeprefix(" + ")
    return "by another" if row["cost"] is None and row["n_cached"] else money(row["cost"])


def _simulated(row: Row) -> str:
    """The share of simulated judgments; a few among many never show as 0%."""
    if not row["n_judgments"]:
        return ""
    share = row["n_simulated"] / row["n_judgments"]
    return "<1%" if 0 < share < 0.01 else f"{share:.0%}" if share in (0, 1) else f"{min(share, 0.99):.0%}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.3f}"


def _caption(rows: Sequence[Row]) -> str:
    """The counts behind the figures. Labelers share judgments, so these are not added up."""
    answers = sum(row["n_estimates"] + row["n_comparisons"] for row in rows)
    text = f"{len(rows):,} labeler version{'s' if len(rows) > 1 else ''}, {answers:,} usable answers"
    if not any(row["n_judgments"] for row in rows):
        return f"{text}; no judgments to compare them with yet"
    simulated = [row for row in rows if row["n_simulated"] or row["is_recalibration_simulated"]]
    if not simulated:
        return text
    every = all(row["n_simulated"] == row["n_judgments"] for row in rows)
    share = "all" if every else "some"
    return f"{text}; {share} of the judgments are SIMULATED: such figures say nothing about people"
