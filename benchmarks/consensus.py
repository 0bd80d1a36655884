"""The consensus by EM at 1, 3 and 10 million judgments, beside Dawid and Skene's EM of the package `crowd-kit`.

    python -m benchmarks.consensus [judgments ...]

Five judgments a proposition, 10,000 annotators. `renewed` is all that `odds agree` does for a consensus: find what
changed, read, fit, write every row. The package has no method for probabilities; the nearest that a person can run is
Dawid-Skene on ten levels with its default settings. Needs `pip install crowd-kit`.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.made import fill
from benchmarks.measure import Clock, measured
from warehouse import open_warehouse
from warehouse.consensus.random_effects import fit_em
from warehouse.consensus.renew import renew_consensus

EACH = 5
SIZES = (1_000_000, 3_000_000, 10_000_000)
PEER_SIZES = (100_000, 1_000_000)
CODED = """
SELECT dense_rank() OVER (ORDER BY proposition_id) - 1 AS unit,
  dense_rank() OVER (ORDER BY annotator_id) - 1 AS annotator, probability
FROM judgments WHERE sequence < ?
"""


def renewed(catalog: str) -> tuple[object, float]:
    with open_warehouse(catalog, read_only=False) as warehouse, Clock() as clock:
        renewal = renew_consensus(warehouse, "em")
    return renewal, clock.seconds


def incremental(catalog: str) -> tuple[object, float]:
    """After one judgment in a hundred thousand changed."""
    with open_warehouse(catalog, read_only=False) as warehouse:
        warehouse.connection.execute("UPDATE judgments SET probability = 0.5 WHERE hash(sequence) % 100000 = 7")
        with Clock() as clock:
            renewal = renew_consensus(warehouse, "em")
    return renewal, clock.seconds


def fitted(catalog: str, judgments: int) -> tuple[object, float]:
    with open_warehouse(catalog) as warehouse:
        rows = warehouse.sql(CODED, [judgments])
    unit, annotator = (rows[name].to_numpy().astype(np.int64) for name in ("unit", "annotator"))
    values = rows["probability"].to_numpy()
    del rows
    with Clock() as clock:
        found = fit_em(unit, annotator, values)
    return found.iterations, clock.seconds


def peer(catalog: str, judgments: int) -> tuple[object, float]:
    from crowdkit.aggregation import DawidSkene

    with open_warehouse(catalog) as warehouse:
        frame = warehouse.sql(
            "SELECT proposition_id AS task, annotator_id AS worker, "
            "least(floor(probability * 10), 9)::INTEGER AS label FROM judgments WHERE sequence < ?",
            [judgments],
        ).to_pandas()
    with Clock() as clock:
        labels = DawidSkene(n_iter=100).fit_predict(frame)
    return len(labels), clock.seconds


def main() -> None:
    sizes = [int(size) for size in sys.argv[1:]] or SIZES
    print(
        "| judgments | renewed, s | GiB | fit alone, s | iterations | s an iteration and million | after a change, s |"
    )
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        catalogs = {size: str(Path(folder) / str(size) / "catalog.sqlite") for size in sizes}
        for size, catalog in catalogs.items():
            with open_warehouse(catalog, read_only=False) as warehouse:
                fill(warehouse, size, EACH)
            fit, whole, later = (
                measured(fitted, catalog, size),
                measured(renewed, catalog),
                measured(incremental, catalog),
            )
            each = fit.seconds / fit.result / size * 1e6
            print(
                f"| {size:,} | {whole.seconds:.1f} | {whole.peak_gib:.2f} | {fit.seconds:.1f} | {fit.result} "
                f"| {each:.4f} | {later.seconds:.1f} ({later.result.computed:,} propositions) |",
                flush=True,
            )
        print("\n| judgments | fit alone, s | GiB | crowd-kit Dawid-Skene, s | GiB |\n|---|---|---|---|---|")
        for size in PEER_SIZES:
            catalog = catalogs[min(sizes)]
            fit, other = measured(fitted, catalog, size), measured(peer, catalog, size)
            print(
                f"| {size:,} | {fit.seconds:.2f} | {fit.peak_gib:.2f} | {other.seconds:.1f} | {other.peak_gib:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
