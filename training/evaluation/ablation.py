"""An ablation: variants of an estimator, each fitted with several seeds, beside the first one, which is the default.

A resample draws premises, as `training.evaluation.paired` does, and seeds, the same ones for all variants and all sets
of items. So an interval covers both what other texts and what other seeds would change. With two or three seeds it is
too narrow for the latter: a variance over s seeds is underestimated by (s - 1) / s.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from scipy import stats

from training.evaluation.families import Answers, Items
from training.evaluation.paired import RESAMPLES, Difference, Draws, Figure, Rows, apart, bounded, holm
from training.levels import Floats

EVERYTHING = "all"
"""The name under which figures are averaged over the sets of items."""
MEAN_RANK = "mean_rank"
LOWER_IS_BETTER = frozenset(
    {"mse", "mae", "crps_judgments", "wasserstein", "negation_gap", "conjunction_excess", "paraphrase_sd", MEAN_RANK}
)


@dataclass(frozen=True)
class Measured:
    """A figure of a variant on a set of items: the mean over seeds.

    Attributes:
        variant: Its name.
        suite: The name of the set, or `EVERYTHING`.
        metric: The name of the figure.
        figure: Its value with a 95% interval, and the number of items.
        seed_sd: The standard deviation over seeds; None with a single seed, or where the figure is undefined.
        difference: How much it exceeds that of the first variant; None for the first one, or where it is undefined.
    """

    variant: str
    suite: str
    metric: str
    figure: Figure
    seed_sd: float | None
    difference: Difference | None


@dataclass(frozen=True)
class _Drawn:
    """A figure of all variants: `seen` [variants, seeds], and `drawn` [variants, resamples] with seeds resampled."""

    seen: Floats
    drawn: Floats
    n: int

    @property
    def values(self) -> Floats:
        return np.asarray(self.seen.mean(axis=1))


def ablated(
    sets: Mapping[str, Items],
    answers: Mapping[str, Sequence[Answers]],
    main: Mapping[str, Sequence[str]],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[Measured]:
    """Measure all variants on the items that all of them answered with every seed.

    Over all sets, a figure is the mean over the sets that have it, and `MEAN_RANK` the mean over the sets of the rank
    of a variant by the set's main figure, 1 being the best. The p-values of a figure on a set are corrected for the
    number of variants (Holm).

    Args:
        sets: The items of each set by its name.
        answers: The answers of each variant by its name, for each seed; the first variant is the default.
        main: The figures of each set, the most important one first; the first one that it has is its main figure.
        resamples: How many resamples to draw.
        seed: The seed of all draws.
    """
    n_seeds = len(next(iter(answers.values())))
    shares = np.random.default_rng([seed, n_seeds]).multinomial(n_seeds, [1 / n_seeds] * n_seeds, size=resamples)
    everything = Draws.of([group for items in sets.values() for group in items.groups], resamples, seed)
    ends = np.cumsum([len(items.groups) for items in sets.values()])
    found = {
        (name, metric): each
        for (name, items), rows in zip(sets.items(), np.split(everything.groups, ends[:-1]), strict=True)
        for metric, each in _of_set(items, answers, shares / n_seeds, Draws(rows, everything.taken))
    }
    found |= {(EVERYTHING, metric): each for metric, each in _means(found)}
    decisive = [key for name in sets for key in [(name, each) for each in main[name] if (name, each) in found][:1]]
    found[EVERYTHING, MEAN_RANK] = _mean_rank({key: found[key] for key in decisive})
    return [each for key, drawn in found.items() for each in _told(list(answers), *key, drawn)]


def _of_set(
    items: Items, answers: Mapping[str, Sequence[Answers]], shares: Floats, draws: Draws
) -> Iterator[tuple[str, _Drawn]]:
    """Yield the figures on a set of items. `shares` [resamples, seeds] is how much each seed counts."""
    cells = [each for by_seed in answers.values() for each in by_seed]
    rows: Rows = np.arange(len(items.items), dtype=np.int64)
    for each in cells:
        rows = np.intersect1d(rows, items.answered(each))
    measured = [items.measure(each, rows) for each in cells]
    for metric in [name for name in measured[0] if all(name in each for each in measured)]:
        statistics = [each[metric] for each in measured]
        seen = np.array([each.over(np.ones((1, len(rows))))[0] for each in statistics])
        drawn = np.array([draws.apply(each, rows) for each in statistics])
        shape = (len(answers), shares.shape[1])
        resampled = np.einsum("vsr,rs->vr", drawn.reshape(*shape, -1), shares[: drawn.shape[1]])
        yield metric, _Drawn(seen.reshape(shape), resampled, statistics[0].n)


def _means(found: Mapping[tuple[str, str], _Drawn]) -> Iterator[tuple[str, _Drawn]]:
    """Yield the mean of each figure over the sets that have it."""
    by_metric = sorted(found, key=lambda key: key[1])
    for metric, keys in groupby(by_metric, key=lambda key: key[1]):
        some = [found[key] for key in keys]
        yield (
            metric,
            _Drawn(
                np.mean([each.seen for each in some], axis=0),
                np.mean([each.drawn for each in some], axis=0),
                sum(each.n for each in some),
            ),
        )


def _mean_rank(found: Mapping[tuple[str, str], _Drawn]) -> _Drawn:
    """Return the mean rank by the figures of some sets, by their names."""
    signed = [(1 if metric in LOWER_IS_BETTER else -1, each) for (_, metric), each in found.items()]
    return _Drawn(
        np.mean([_ranks(sign * each.values[:, None]) for sign, each in signed], axis=0),
        np.mean([_ranks(sign * each.drawn) for sign, each in signed], axis=0),
        sum(each.n for each in found.values()),
    )


def _ranks(values: Floats) -> Floats:
    """Return the rank of each row in every column, 1 for the lowest; an undefined value is the worst."""
    return np.asarray(stats.rankdata(np.where(np.isfinite(values), values, np.inf), axis=0))


def _told(names: Sequence[str], suite: str, metric: str, each: _Drawn) -> Iterator[Measured]:
    """Yield a figure of every variant, with its difference to the first one."""
    apart_: dict[str, Difference] = {}
    for name, value, drawn in list(zip(names, each.values, each.drawn, strict=True))[1:]:
        made = apart((name, names[0]), metric, value - each.values[0], drawn - each.drawn[0], each.n)
        apart_ |= {} if made is None else {name: made}
    corrected = {made.subject: made for made in holm(list(apart_.values()))}
    for name, seen, drawn in zip(names, each.seen, each.drawn, strict=True):
        sd = float(seen.std(ddof=1)) if len(seen) > 1 and np.isfinite(seen).all() else None
        yield Measured(name, suite, metric, bounded(float(seen.mean()), drawn, each.n), sd, corrected.get(name))
