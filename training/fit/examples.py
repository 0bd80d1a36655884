"""What an estimator learns from: propositions with their targets, and order pairs, in stores on disk."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from training.fit.labels import Labels, parted, sources_in
from training.fit.store import Ragged, Table, tokens_in
from training.judgments import Judgments, judgments_of
from training.levels import Floats
from training.model.cut_points import Scale
from training.model.estimator import Estimator
from training.model.packing import Indices
from training.model.texts import Rows, batch_texts, pair_sides, texts, too_long
from training.settings import FitSettings
from training.targets import Judged, Prior, prior_of, targets
from warehouse.errors import InputError, OddsError
from warehouse.records import Drop

_ROWS_AT_ONCE = 4096


@dataclass(frozen=True)
class Examples:
    """Propositions: their prompts, and a table with the target [K], the consensus mean and the weight of each.

    If cut points are learned, `ordinal` has the ordinal labels of each as rows of `Labels`, `scales` the index of each
    scale, and targets are those of the other judgments.
    """

    prompts: Ragged[np.int32]
    values: Table
    rows: Indices
    """The row of each among the propositions that were given."""
    source: Rows
    ordinal: Ragged[np.float32] | None = None
    scales: Mapping[Scale, int] = field(default_factory=dict)

    def labels(self, indices: Indices) -> Labels | None:
        """Return the ordinal labels at some indices, if cut points are learned; owners are places among the indices."""
        return None if self.ordinal is None else Labels.of(self.ordinal.of(indices))

    def batches(self) -> Iterator[tuple[npt.NDArray[np.float32], Labels | None]]:
        """Yield the table and the labels of all, some at once."""
        start = 0
        for values in self.values.batches():
            yield values, self.labels(np.arange(start, start + len(values)))
            start += len(values)

    def id_of(self, index: int) -> str:
        """Return the proposition id of one, which is read again, since ids are only needed for messages."""
        return next(islice(texts(self.source), int(self.rows[index]), None)).proposition_id

    @cached_property
    def judgments(self) -> Judgments:
        """What people said about them; its rows are indices into these examples."""
        return judgments_of(self.source, self.rows)


@dataclass(frozen=True)
class OrderPairs:
    """Order pairs: the prompts of both sides, the weights [n], and the row of each among the pairs that were given."""

    higher: Ragged[np.int32]
    lower: Ragged[np.int32]
    weights: Floats
    rows: Indices


@dataclass
class Counts:
    """What was read: rows, judgments of simulated annotators among them, cut premises, and dropped rows."""

    rows: int = 0
    simulated: int = 0
    truncated: int = 0
    drops: list[Drop] = field(default_factory=list)


def examples_of(
    rows: Rows,
    estimator: Estimator,
    settings: FitSettings,
    *,
    prior: Prior,
    folder: Path,
    split: str,
    scales: dict[Scale, int] | None = None,
) -> tuple[Examples, Counts]:
    """Write the prompts and targets of propositions into a folder.

    With `scales`, ordinal labels are kept apart, and theirs are added.

    Raises:
        InputError: all are too long.
        OddsError: a weight, a mean or a target is not a number, or a weight is negative.
    """
    prompts, values = tokens_in(folder / f"{split}.tokens"), Table(folder / f"{split}.values", settings.levels + 2)
    ordinal = None if scales is None else Ragged(folder / f"{split}.labels", np.float32, (3,))
    counts, total = Counts(), 0.0
    kept: list[Indices] = [np.empty(0, dtype=np.int32)]
    for part in _parts(rows):
        propositions = list(batch_texts(part))
        encoded = estimator.encode(propositions)
        means, weights = (part[name].to_numpy(zero_copy_only=False) for name in ("mean", "weight"))
        found = judged(part)
        if scales is not None and ordinal is not None:
            found, labels = parted(found, sources_in(part, found), scales)
            ordinal.add([labels[row] for row in encoded.rows])
        target = targets(settings.target, found, means, settings.spread, prior)
        _check(part["proposition_id"], "proposition", weights, np.column_stack([target, means]))
        total += float(weights.sum())
        prompts.add(encoded.prompts())
        values.add(np.column_stack([target, means, weights])[encoded.rows])
        kept.append((encoded.rows + counts.rows).astype(np.int32))
        _count(counts, part, too_long(propositions, encoded, settings.max_length, "train"), encoded.truncated)
    prompts.done()
    values.done()
    if ordinal is not None:
        ordinal.done()
    if counts.rows and not len(prompts):
        raise InputError(f"no {split} proposition fits into {settings.max_length} tokens; raise max_length")
    if counts.rows and not total:
        raise InputError(f"all propositions of the {split} split have the weight 0; raise one, or leave them out")
    return Examples(prompts, values, np.concatenate(kept), rows, ordinal, {} if scales is None else scales), counts


def pairs_of(
    rows: Rows | None, estimator: Estimator, settings: FitSettings, *, folder: Path, split: str
) -> tuple[OrderPairs, Counts]:
    """Write the prompts of order pairs into a folder, of those of which both sides fit.

    Raises:
        OddsError: a weight is not a number, or negative.
    """
    sides = [tokens_in(folder / f"{split}.{side}") for side in ("higher", "lower")]
    weights: list[Floats] = [np.empty(0)]
    kept: list[Indices] = [np.empty(0, dtype=np.int32)]
    counts = Counts()
    for part in _parts(rows) if rows is not None else ():
        both = [list(batch_texts(side)) for side in pair_sides(part)]
        encoded = [estimator.encode(side) for side in both]
        fits = np.intersect1d(encoded[0].rows, encoded[1].rows)
        for store, each in zip(sides, encoded, strict=True):
            prompts = each.prompts()
            store.add([prompts[place] for place in np.searchsorted(each.rows, fits)])
        own = part["weight"].to_numpy(zero_copy_only=False)
        _check(part["higher_proposition_id"], "order pair of proposition", own)
        weights.append(own[fits])
        kept.append((fits + counts.rows).astype(np.int32))
        for propositions, each in zip(both, encoded, strict=True):
            counts.drops += too_long(propositions, each, settings.max_length, "train")
        counts.rows += part.num_rows
    for store in sides:
        store.done()
    return OrderPairs(sides[0], sides[1], np.concatenate(weights), np.concatenate(kept)), counts


def judged(part: pa.RecordBatch | pa.Table) -> Judged:
    """Return the judgments in the columns `values`, `weights` and, if present, `widths` of some rows.

    A null value is a missing judgment; without widths all are points.
    """
    values, weights = (_whole(part.column(name)) for name in ("values", "weights"))
    lengths = values.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    if not np.array_equal(lengths, weights.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)):
        raise OddsError("a proposition has another number of weights than of values; publish the dataset again")
    widths = _whole(part.column("widths")).flatten() if "widths" in part.schema.names else None
    return Judged(
        values.flatten().to_numpy(zero_copy_only=False).astype(np.float64),
        weights.flatten().to_numpy(zero_copy_only=False).astype(np.float64),
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        None if widths is None else widths.to_numpy(zero_copy_only=False).astype(np.float64),
    )


def prior_for(rows: Rows, settings: FitSettings) -> Prior:
    """Return the prior of the training split, where the target needs one."""
    if settings.target in ("gaussian", "mixture"):
        return Prior(np.full(settings.levels, 1.0 / settings.levels), 1.0 / 12)
    return prior_of(((judged(part), part["weight"].to_numpy()) for part in _parts(rows)), settings.levels)


@dataclass(frozen=True)
class Choosing:
    """The rows of dev that select the epoch: those that people judged, or all if there are none; at most `most`.

    Shards are sorted by premise id, a hash, so the first rows are a fair sample of the premises.
    """

    dev: Rows
    most: int | None = None

    def to_batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows."""
        human = (batch.filter(pc.equal(batch["origin"], "human")) for batch in self.dev.to_batches())
        if not (yield from self._first(human)):
            yield from self._first(self.dev.to_batches())

    def _first(self, batches: Iterable[pa.RecordBatch]) -> Generator[pa.RecordBatch, None, int]:
        """Yield the first rows of some batches, and return their number."""
        taken = 0
        for batch in batches:
            some = batch if self.most is None else batch.slice(0, self.most - taken)
            taken += some.num_rows
            if some.num_rows:
                yield some
            if taken == self.most:
                break
        return taken


def _parts(rows: Rows) -> Iterator[pa.RecordBatch]:
    for batch in rows.to_batches():
        for start in range(0, batch.num_rows, _ROWS_AT_ONCE):
            yield batch.slice(start, _ROWS_AT_ONCE)


def _whole(column: Any) -> Any:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _check(names: pa.Array, kind: str, weights: Floats, values: Floats | None = None) -> None:
    """Raise `OddsError` for the first row whose loss would not be a number, by its weight [n] and its values [n, m]."""
    sound = np.isfinite(weights) & (weights >= 0)
    if values is not None:
        sound &= np.isfinite(values).all(axis=1)
    if not sound.all():
        which = names[int(np.flatnonzero(~sound)[0])]
        raise OddsError(f"{kind} {which}: its loss is not a number; check its values and weights, or leave it out")


def _count(counts: Counts, part: pa.RecordBatch, drops: list[Drop], truncated: Any) -> None:
    counts.rows += part.num_rows
    counts.simulated += int(np.sum(part["n_simulated"].to_numpy(zero_copy_only=False)))
    counts.truncated += int(truncated.sum())
    counts.drops += drops
