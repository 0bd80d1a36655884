"""A teacher: an estimator whose level distributions another one learns beside what people said (distillation).

It is asked once about every proposition of the training split and about both sides of every order pair, even if nobody
judged them. So a small estimator learns what a large one would say, in more places than there are judgments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from training.fit.store import Table
from training.fit.told import Keys, Told, key_of, keys_of
from training.fit.watch import Watch
from training.identity import model_hash
from training.model.device import place_of
from training.model.estimator import Estimator
from training.model.packing import Indices
from training.model.saved import EstimatorInfo, read_info
from training.model.texts import Rows, batch_texts, pair_sides
from training.settings import FitSettings
from warehouse.errors import InputError
from warehouse.records import PropositionText

Answers = npt.NDArray[np.float32]
Batches = Callable[[], Iterable[pa.RecordBatch]]


@dataclass(frozen=True)
class Taught:
    """What the teacher answered: a table of level distributions [m, K], NaN where a hypothesis was too long for it.

    `propositions` has the place there of each proposition of the training split, `sides` those of both sides of each
    pair; `rows` has the row of each example, for propositions and for pairs.
    """

    answers: Table
    propositions: Indices
    sides: tuple[Indices, Indices]
    rows: tuple[Indices, Indices]

    def of_propositions(self, indices: Indices) -> Answers:
        """Return the teacher's distributions [n, K] for the propositions at some indices."""
        return self.answers.of(self.propositions[self.rows[0][indices]])

    def of_pairs(self, indices: Indices) -> Answers:
        """Return those [2n, K] for the higher sides of the pairs at some indices, then those for the lower sides."""
        return self.answers.of(np.concatenate([side[self.rows[1][indices]] for side in self.sides]))


def teach(
    settings: FitSettings, train: tuple[Rows, Rows | None], rows: tuple[Indices, Indices], cache: Path, watch: Watch
) -> Taught:
    """Ask the teacher of a fit about what it was never asked: the cache has its answers, whichever fit wanted them.

    Args:
        settings: How to fit; `teacher` names the folder of an estimator.
        train: The propositions of the training split, and its order pairs if they are used.
        rows: The row of each example, for propositions and for pairs.
        cache: Where answers are kept, in the folder `teachers`.
        watch: Told how many propositions were asked about.

    Raises:
        InputError: the teacher cannot be loaded, or has another number of levels.
    """
    wanted = _wanted(*train)
    told = Told(
        cache / "teachers" / _name(settings),
        settings.levels,
        lambda: watch.doing("waiting for another process, which asks the same teacher"),
    )
    try:
        keys = [keys_of(batches()) for batches in wanted]
        if len(new := told.missing(every := np.concatenate(keys))):
            watch.doing("loading the teacher")
            _ask(_loaded(settings), chain.from_iterable(batches() for batches in wanted), new, told, watch)
        propositions, higher, lower = np.split(told.places(every), np.cumsum([len(each) for each in keys[:-1]]))
    finally:
        answers = told.closed()
    return Taught(answers, propositions, (higher, lower), rows)


def check_teacher(settings: FitSettings) -> None:
    """Raise `InputError` if a fit has a teacher that is not there or has another number of levels."""
    if settings.teacher is not None and (info := read_info(Path(settings.teacher))):
        _compare(info, settings)


def _ask(teacher: Estimator, batches: Iterable[pa.RecordBatch], new: Keys, told: Told, watch: Watch) -> None:
    """Ask about the rows whose keys are new, each once, and keep every answer as soon as it is given."""
    done = 0
    for scored in teacher.score_stream(_of_keys(batches, new)):
        unread = [drop.subject_id for drop in scored.drops]
        names = [bytes.fromhex(name) for name in (*scored.proposition_ids, *unread)]
        nothing = np.full((len(unread), teacher.info.levels), np.nan)
        told.add(np.array(names, dtype=new.dtype), np.concatenate([scored.level_probabilities, nothing]))
        done += len(names)
        watch.asked(done, len(new))


def _of_keys(batches: Iterable[pa.RecordBatch], new: Keys) -> Iterator[PropositionText]:
    """Yield the propositions that have some keys, given sorted; the key is their id."""
    given = np.zeros(len(new), dtype=np.bool_)
    for batch in batches:
        places = np.searchsorted(new, keys := keys_of([batch])).clip(max=len(new) - 1)
        for place, is_new, text in zip(places, new[places] == keys, batch_texts(batch), strict=True):
            if is_new and not given[place]:
                given[place] = True
                name = key_of(text.premise, text.hypothesis).hex()
                yield text.model_copy(update={"proposition_id": name})


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


def _wanted(propositions: Rows, pairs: Rows | None) -> tuple[Batches, Batches, Batches]:
    """Return what a teacher is asked: the propositions, and both sides of the pairs."""

    def side(which: int) -> Iterable[pa.RecordBatch]:
        return () if pairs is None else (pair_sides(batch)[which] for batch in pairs.to_batches())

    return propositions.to_batches, lambda: side(0), lambda: side(1)


def _name(settings: FitSettings) -> str:
    """Return a name for what answers depend on beside the question: the teacher and its precision."""
    assert settings.teacher is not None
    place = place_of(settings.device, settings.precision)
    return f"{model_hash(Path(settings.teacher))[:24]}-{place.precision}"
