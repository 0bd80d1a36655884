"""Interval alpha with a 2,000-draw interval on a DuckLake table, beside a plain GROUP BY and package `krippendorff`.

    python -m benchmarks.agreement [judgments ...]

Judgments are made up and continuous, ten a proposition. The package, which gives alpha without an interval, builds an
array of values x values for each proposition; it is tried at growing sizes with 16 GiB of address space until it fails.
Every measurement runs in a process of its own.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.made import fill
from benchmarks.measure import Clock, measured
from warehouse import open_warehouse
from warehouse.agreement.measure import interval_alpha, measure_agreement

EACH = 10
SIZES = (1_000_000, 10_000_000)
PEER_SIZES = (500, 1_000, 1_500, 2_000, 3_000)
PEER_GIB = 16.0
MEMORY = "3GB"
EVERY_FIGURE = 10_000_000  # the largest size at which all figures of all slices are measured too


def ours(catalog: str) -> tuple[object, float]:
    with open_warehouse(catalog, memory_limit=MEMORY) as warehouse, Clock() as clock:
        figure = interval_alpha(warehouse, "judgments", "proposition_id", "probability")
    return figure, clock.seconds


def plain(catalog: str) -> tuple[object, float]:
    """The GROUP BY of the same columns that the figure cannot do without."""
    query = (
        "SELECT sum(m), sum(s), sum(q) FROM (SELECT count(probability) AS m, sum(probability) AS s, "
        "sum(probability * probability) AS q FROM judgments GROUP BY proposition_id)"
    )
    with open_warehouse(catalog, memory_limit=MEMORY) as warehouse, Clock() as clock:
        row = warehouse.sql(query).to_pylist()[0]
    return row, clock.seconds


def every_figure(catalog: str) -> tuple[object, float]:
    """All that `odds agree` measures: every metric of every slice."""
    with open_warehouse(catalog) as warehouse, Clock() as clock:
        figures = measure_agreement(warehouse)
    return len(figures), clock.seconds


def peer(judgments: int) -> tuple[object, float]:
    import krippendorff

    rng = np.random.default_rng(judgments)
    truth = rng.uniform(size=judgments // EACH)
    values = np.clip(truth + rng.normal(scale=0.2, size=(EACH, len(truth))), 0, 1)
    with Clock() as clock:
        alpha = float(krippendorff.alpha(values, level_of_measurement="interval"))
    return alpha, clock.seconds


def main() -> None:
    sizes = [int(size) for size in sys.argv[1:]] or SIZES
    print("| judgments | alpha and interval, s | GiB | plain GROUP BY, s | ratio | all figures, s | GiB |")
    print("|---|---|---|---|---|---|---|")
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            catalog = str(Path(folder) / "catalog.sqlite")
            with open_warehouse(catalog, read_only=False) as warehouse:
                fill(warehouse, size, EACH)
            group, alpha = measured(plain, catalog), measured(ours, catalog)
            row = f"| {size:,} | {alpha.seconds:.2f} | {alpha.peak_gib:.2f} | {group.seconds:.2f} "
            row += f"| {alpha.seconds / group.seconds:.2f} "
            if size <= EVERY_FIGURE:
                every = measured(every_figure, catalog)
                row += f"| {every.seconds:.1f} ({every.result} figures) | {every.peak_gib:.2f} |"
            else:
                row += "| not measured | |"
            print(row, flush=True)
    print(f"\n| judgments | krippendorff {krippendorff_version()}, s | GiB |\n|---|---|---|")
    for size in PEER_SIZES:
        other = measured(peer, size, memory_gib=PEER_GIB)
        took = f"{other.seconds:.2f} | {other.peak_gib:.2f}" if other.survived else f"out of {PEER_GIB:.0f} GiB |"
        print(f"| {size:,} | {took} |", flush=True)
        if not other.survived:
            break


def krippendorff_version() -> str:
    from importlib.metadata import version

    return version("krippendorff")


if __name__ == "__main__":
    main()
