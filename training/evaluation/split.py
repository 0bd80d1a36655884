"""The test split of a training set as the items of a suite."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from training.evaluation.families import Item, Items
from training.judgments import judgments_of

SUITE = "consensus"
"""The suite that the figures of the test split are stored under: they are against the consensus."""


def split_items(rows: pa.Table) -> Items:
    """Return the rows of a table with a shard's columns that people judged; the labels are their consensus means."""
    judged = judgments_of(rows)
    kept = rows.take(judged.rows)
    names = ("proposition_id", "premise_id", "premise", "hypothesis", "source", "kind")
    columns = [kept[name].to_pylist() for name in names]
    values = np.split(judged.values, np.searchsorted(judged.owners, np.arange(1, len(judged))))
    numbers = zip(judged.means.tolist(), judged.simulated.tolist(), values, strict=False)
    return Items(
        "correlation",
        tuple(
            Item(
                group=group,
                propositions=(key,),
                labels=(mean,),
                judgments=judgments,
                n_simulated=simulated,
                words=len(premise.split()) + len(hypothesis.split()),
                source=source,
                kind=kind,
            )
            for (key, group, premise, hypothesis, source, kind), (mean, simulated, judgments) in zip(
                zip(*columns, strict=True), numbers, strict=True
            )
        ),
    )
