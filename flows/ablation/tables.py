"""The tables of an ablation for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.table import Table

from flows.ablation.cells import PlannedFit
from flows.estimators.named import SHOWN as SHORT
from flows.terminal.activity import duration
from flows.terminal.tables import narrow_table
from training.evaluation.families import SHOWN
from warehouse.records import Ablation

OVERALL = "all"
HEADLINE = (("mean_rank", "mean rank", ".2f"), ("crps_judgments", "crps", ".4f"))
"""The figures over all sets, their headings and formats."""
IMPORTANT = tuple(dict.fromkeys(metric for figures in SHOWN.values() for metric in figures))
"""The figures that a set may have, the most important one of each family first."""


def ablation_tables(rows: Sequence[Ablation]) -> Iterator[str | Table]:
    """Yield a line and a table of the figures over all sets of items, and the same for the main figure of each set.

    Differences are those from the first variant; p is Holm's.
    """
    from training.evaluation.ablation import LOWER_IS_BETTER

    sets: dict[str, dict[str, list[Ablation]]] = {}
    for row in rows:
        if row.suite != OVERALL:
            sets.setdefault(row.suite, {}).setdefault(row.metric, []).append(row)
    overall = [[row for row in rows if (row.suite, row.metric) == (OVERALL, metric)] for metric, *_ in HEADLINE]
    if not overall[0]:
        return
    seeds = len(rows[0].models)
    yield f"over {len(sets)} sets of items, {seeds} {'seeds' if seeds > 1 else 'seed'} a variant; lower is better"
    yield _overall(*overall)
    for suite, figures in sets.items():
        main = next(metric for metric in IMPORTANT if metric in figures)
        better = "lower" if main in LOWER_IS_BETTER else "higher"
        yield f"{suite}: {figures[main][0].n:,} items; {better} is better"
        yield _of_set(main, figures[main])


def planned_table(fits: Sequence[PlannedFit]) -> list[str | Table]:
    """Return a table of the fits of an ablation with the time that each may take, and a line about all of them."""
    table = _table("seed", "estimator", "time")
    for each in fits:
        time = f"about {duration(each.seconds)}" if each.seconds else "done"
        table.add_row(each.variant, str(each.seed), each.model_id[:SHORT], time)
    waiting = [each.seconds for each in fits if each.seconds]
    return [table, f"{len(waiting):,} of {len(fits):,} fits to come, about {duration(sum(waiting))} in all"]


def _overall(ranks: Sequence[Ablation], crps: Sequence[Ablation]) -> Table:
    table = _table(*(name for _, heading, _ in HEADLINE for name in (heading, "difference 95%", "p")))
    of_variant = {row.variant: row for row in crps}  # without people's judgments there are none
    for row in ranks:
        cells = zip((row, of_variant.get(row.variant)), HEADLINE, strict=True)
        table.add_row(row.variant, *(cell for each, (*_, digits) in cells for cell in _cells(each, digits)))
    return table


def _of_set(metric: str, rows: Sequence[Ablation]) -> Table:
    table = _table(metric, "SD of seeds", "difference 95%", "p")
    for row in rows:
        value, apart, p = _cells(row, ".3f")
        table.add_row(row.variant, value, "" if row.seed_sd is None else f"{row.seed_sd:.3f}", apart, p)
    return table


def _table(*numbers: str) -> Table:
    return narrow_table("variant", *numbers, tight=True)


def _cells(row: Ablation | None, digits: str) -> tuple[str, str, str]:
    """Return a figure, the interval of its difference and the p-value as texts."""
    if row is None or row.value is None:
        return "", "", ""
    value = format(row.value, digits)
    if row.difference_low is None or row.difference_high is None or row.p_holm is None:
        return value, "", ""
    return value, f"{row.difference_low:+{digits}} {row.difference_high:+{digits}}", f"{row.p_holm:.3f}"
