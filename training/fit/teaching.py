"""A teacher: an estimator whose level distributions another one learns beside what people said (distillation).

It is asked once about every proposition of the training split and about both sides of every order pair, even if nobody
judged them. So a small estimator learns what a large one would say, in more places than there are judgments.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from training.fit.store import Table
from training.fit.watch import Watch
from training.identity import model_hash
from training.levels import Floats
from training.model.device import place_of
from training.model.estimator import Estimator
from training.model.packing import Indices
from training.model.saved import EstimatorInfo, read_info
from training.model.texts import Rows, pair_sides, texts
from training.settings import FitSettings
from warehouse.atomic import atomic_file
from warehouse.errors import InputError

Answers = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Taught:
    """What the teacher answered: tables of level distributions [n, K], NaN where a hypothesis was too long for it.

    Their rows are those of the training split; `rows` has the row of each example, for propositions and for pairs.
    """

    propositions: Table
    pairs: tuple[Table, Table]
    rows: tuple[Indices, Indices]

    def of_propositions(self, indices: Indices) -> Answers:
        """Return the teacher's distributions [n, K] for the propositions at some indices."""
        return self.propositions.of(self.rows[0][indices])

    def of_pairs(self, indices: Indices) -> Answers:
        """Return those [2n, K] for the higher sides of the pairs at some indices, then those for the lower sides."""
        return np.concatenate([side.of(self.rows[1][indices]) for side in self.pairs])


def teach(
    settings: FitSettings, train: tuple[Rows, Rows | None], rows: tuple[Indices, Indices], cache: Path, watch: Watch
) -> Taught:
    """Ask the teacher of a fit. What the cache has of its answers on the same rows is not asked again.

    Args:
        settings: How to fit; `teacher` names the folder of an estimator.
        train: The propositions of the training split, and its order pairs if they are used.
        rows: The row of each example, for propositions and for pairs.
        cache: Where answers are kept, in the folder `teachers`.
        watch: Told how many propositions were asked about.

    Raises:
        InputError: the teacher cannot be loaded, or has another number of levels.
    """
    propositions, pairs = train
    wanted = {"propositions": _batches(propositions), "higher": _sides(pairs, 0), "lower": _sides(pairs, 1)}
    sizes = dict(zip(wanted, map(_count, (propositions, pairs, pairs)), strict=True))
    folder = cache / "teachers" / _name(settings, train)
    folder.mkdir(parents=True, exist_ok=True)
    places = {name: folder / f"{name}.values" for name in wanted}
    if missing := [name for name, place in places.items() if not place.exists()]:
        watch.doing("loading the teacher")
        asked = _Asked(_loaded(settings), watch, sum(sizes[name] for name in missing))
        for name in missing:
            _write(places[name], map(asked.about, wanted[name]), settings.levels)
    found = {name: Table(place, settings.levels, written=True) for name, place in places.items()}
    return Taught(found["propositions"], (found["higher"], found["lower"]), rows)


def check_teacher(settings: FitSettings) -> None:
    """Raise `InputError` if a fit has a teacher that is not there or has another number of levels."""
    if settings.teacher is not None and (info := read_info(Path(settings.teacher))):
        _compare(info, settings)


class _Asked:
    """A teacher that is being asked, and how far that is."""

    def __init__(self, teacher: Estimator, watch: Watch, total: int) -> None:
        self._teacher, self._watch, self._total, self._done = teacher, watch, total, 0

    def about(self, batch: pa.RecordBatch) -> Floats:
        """Return the distributions [n, K] for the rows of a batch; a proposition that is there twice is asked once."""
        propositions = list(texts(pa.Table.from_batches([batch])))
        found = np.full((len(propositions), self._teacher.info.levels), np.nan)
        places: dict[str, list[int]] = {}
        for row, each in enumerate(propositions):
            places.setdefault(each.proposition_id, []).append(row)
        for scored in self._teacher.score_stream({each.proposition_id: each for each in propositions}.values()):
            for name, levels in zip(scored.proposition_ids, scored.level_probabilities, strict=True):
                found[places[name]] = levels
                self._done += len(places[name])
            self._done += sum(len(places[drop.subject_id]) for drop in scored.drops)
            self._watch.asked(self._done, self._total)
        return found


def _loaded(settings: FitSettings) -> Estimator:
    assert settings.teacher is not None
    teacher = Estimator.load(settings.teacher, settings.device, settings.precision, bases=[settings.base])
    _compare(teacher.info, settings)
    return teacher


def _compare(info: EstimatorInfo, settings: FitSettings) -> None:
    if info.levels != settings.levels:
        raise InputError(
            f"training.teacher has {info.levels} levels, and training.levels is {settings.levels}; they must be equal"
        )


def _write(place: Path, parts: Iterator[Floats], levels: int) -> None:
    with atomic_file(place) as scratch:
        table = Table(scratch, levels)
        for part in parts:
            table.add(part)
        table.done()


def _batches(rows: Rows | None) -> Iterator[pa.RecordBatch]:
    return iter(()) if rows is None else iter(rows.to_batches())


def _sides(pairs: Rows | None, side: int) -> Iterator[pa.RecordBatch]:
    return (pair_sides(batch)[side] for batch in _batches(pairs))


def _name(settings: FitSettings, train: tuple[Rows, Rows | None]) -> str:
    """Return a hash of what answers depend on: the teacher, its precision, and what it is asked about."""
    assert settings.teacher is not None
    place = place_of(settings.device, settings.precision)
    digest = hashlib.sha256(f"{model_hash(Path(settings.teacher))} {place.precision}".encode())
    columns = ("proposition_id",), ("higher_proposition_id", "lower_proposition_id")
    for rows, names in zip(train, columns, strict=True):
        digest.update(b"/")
        for batch in _batches(rows):
            for name in names:
                digest.update("".join(batch[name].to_pylist()).encode())
    return digest.hexdigest()[:24]


def _count(rows: Rows | None) -> int:
    return sum(batch.num_rows for batch in _batches(rows))
