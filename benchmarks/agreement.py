"""Interval alpha with its interval in SQL, beside the package `krippendorff`, on continuous ratings; in one run.

    python benchmarks/agreement.py [rows ...]

Judgments are made up: ten annotators a proposition, normal noise around a uniform truth. The package builds an array
of values x values for each proposition, so that it is only asked up to the size that `PEER_LIMIT` names.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import krippendorff
import numpy as np
import pyarrow as pa

from warehouse import Warehouse, open_warehouse
from warehouse.agreement import alpha_sql
from warehouse.resample import alpha_figure

PER_PROPOSITION = 10
DRAWS = 2000
PEER_LIMIT = 1500
SIZES = (1_000, 10_000, 100_000, 1_000_000)


def judgments(rows: int) -> pa.Table:
    """Made-up judgments: unit and value, `PER_PROPOSITION` values a unit."""
    rng = np.random.default_rng(rows)
    units = np.repeat(np.arange(rows // PER_PROPOSITION), PER_PROPOSITION)
    truth = rng.uniform(size=rows // PER_PROPOSITION)[units]
    return pa.table({"unit": units, "value": np.clip(truth + rng.normal(scale=0.2, size=rows), 0, 1)})


def timed(work: Callable[[], float]) -> tuple[float, float]:
    """What `work` gives, and the seconds it took."""
    began = time.perf_counter()
    result = work()
    return result, time.perf_counter() - began


def ours(warehouse: Warehouse) -> float:
    """Alpha in one scan, and its interval from 2,000 resamples of the propositions."""
    alpha: float = warehouse.sql(alpha_sql("made", "unit", "value"))["alpha"][0].as_py()
    sums = warehouse.sql(
        "SELECT count(*)::DOUBLE AS m, sum(value) AS s, sum(value * value) AS q FROM made GROUP BY unit ORDER BY unit"
    )
    figure = alpha_figure(sums["m"].to_numpy(), sums["s"].to_numpy(), sums["q"].to_numpy(), DRAWS, 0)
    assert figure.low is not None
    return alpha


def peer(table: pa.Table) -> float:
    """Alpha by the package, without an interval."""
    values = table["value"].to_numpy().reshape(-1, PER_PROPOSITION).T
    return float(krippendorff.alpha(values, level_of_measurement="interval"))


def main() -> None:
    sizes = [int(size) for size in sys.argv[1:]] or SIZES
    print(f"{'judgments':>10}  {'odds s':>8}  {'krippendorff s':>14}  {'difference':>10}")
    with tempfile.TemporaryDirectory() as folder, open_warehouse(Path(folder) / "catalog.sqlite", read_only=False) as w:
        for size in sizes:
            table = judgments(size)
            w.connection.register("made", table)
            alpha, seconds = timed(lambda: ours(w))
            if size <= PEER_LIMIT:
                other, peer_seconds = timed(lambda table=table: peer(table))  # type: ignore[misc]
                print(f"{size:>10,}  {seconds:>8.3f}  {peer_seconds:>14.3f}  {abs(alpha - other):>10.1e}")
            else:
                print(f"{size:>10,}  {seconds:>8.3f}  {'not asked':>14}")
            w.connection.unregister("made")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB, the peer's included")


if __name__ == "__main__":
    main()
