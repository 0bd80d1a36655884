"""Fit an estimator: train on one split, keep the epoch that is best on dev, and write a complete folder."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from training.fit import rounds
from training.fit.calibrate import remark
from training.fit.examples import Choosing, Counts, examples_of, pairs_of, prior_for
from training.fit.kept import keep
from training.fit.memory import return_large_tensors
from training.fit.objective import Evidence, constant_loss
from training.fit.order import steps_of
from training.fit.processes import TENSORBOARD, processes
from training.fit.record import SUMMARY, summary_of, workplace_of
from training.fit.rounds import Run
from training.fit.splitting import split_over_processes
from training.fit.store import opening
from training.fit.teaching import check_teacher, teach
from training.fit.watch import FitProgress, Watch
from training.fit.workplace import full_disk_in_one_line, refuse_existing, workplace
from training.model.calibration import read_calibration
from training.model.cut_points import CutPoints, Scale
from training.model.device import place_of
from training.model.estimator import Estimator
from training.model.saved import read_info
from training.model.seen import read_seen, write_seen
from training.model.start import lower_layers, start
from training.model.texts import Rows
from training.settings import FitSettings
from warehouse.errors import InputError
from warehouse.records import Drop

NOBODY = Watch()
TELLING = 30
"""From so many dev propositions on, a dev loss above that of a constant answer says that nothing was learned."""


@dataclass(frozen=True)
class Fitted:
    """A fitted estimator: its folder, the dev loss of the epoch that was kept, and what was cut or dropped.

    `constant_loss` is the dev loss of an answer that is the same for every proposition, None if dev has none;
    `base_loss` is that of the base before the first step, None if that is no estimator.
    """

    path: Path
    dev_loss: float
    constant_loss: float | None
    base_loss: float | None
    steps: int
    duration_s: float
    history: tuple[FitProgress, ...]
    truncated: int
    drops: tuple[Drop, ...]


def fit(
    train: Rows,
    dev: Rows,
    settings: FitSettings,
    cache: Path,
    out_dir: Path,
    *,
    pairs: Rows | None = None,
    dev_pairs: Rows | None = None,
    watch: Watch = NOBODY,
    split: bool = False,
) -> Fitted:
    """Fit an estimator on `train` and `pairs`, select its epoch by the loss on `dev`, and write it to `out_dir`.

    A fit that was interrupted goes on from its last checkpoint, in the folder with `.fit` after its name. On a CPU the
    same rows, settings and seed give the same weights, whether it was interrupted or not, unless time ran out (with
    `tuning = "upper"`, up to the rounding of the kept states).
    `max_minutes` limits everything from loading the base to the last evaluation, but at least one step is made; the
    learning rate falls to 0 by then.

    Args:
        train: Propositions with a shard's columns; `weight` multiplies a row's loss. May be empty.
        dev: The same. If people judged some of its rows, only these select the epoch.
        settings: How to fit.
        cache: Where a converted base is kept, and what a teacher answered.
        out_dir: The folder of the estimator. It appears complete at the end, or not at all.
        pairs: Order pairs with the columns of their shards. Each adds the margin loss between its two scores.
        dev_pairs: Order pairs that select the epoch if dev has no propositions.
        watch: Told how the fit goes.
        split: Whether to split the model over the processes of this fit.

    Raises:
        InputError: there is nothing to learn from or to select by, the base cannot be used, `out_dir` exists, another
            process fits the same estimator, or the disk is full.
        OddsError: the loss is no longer a number, or memory does not suffice.
    """
    started = time.monotonic()
    refuse_existing(out_dir)
    check_teacher(settings)
    for before in filter(None, (settings.base, settings.teacher)):
        read_seen(Path(before))  # it is written at the end, and hours of work should not end with its error
    place = place_of(settings.device, settings.precision)
    if place.warning:
        watch.note(place.warning)
    if place.device.type == "cpu":
        return_large_tensors()
    with (
        full_disk_in_one_line(workplace_of(out_dir)),
        torch.random.fork_rng(),
        processes(place.device, workplace_of(out_dir)) as accelerator,
        workplace(out_dir, main=accelerator.is_main_process) as (work, rows),
    ):
        accelerator.init_trackers(TENSORBOARD)
        watch = watch if accelerator.is_main_process else NOBODY
        torch.manual_seed(settings.seed)
        watch.doing("loading the base model")
        estimator = start(settings, cache, train, out_dir, pairs=pairs, move=not split)
        hollow = split_over_processes(estimator) if split else None
        watch.doing("tokenising the propositions for training and dev")
        splits, counts = read_splits(
            estimator, settings, rows, (train, pairs), (Choosing(dev, settings.dev_rows), dev_pairs)
        )
        ordered = pairs if settings.pair_rate else None
        if settings.teacher is not None:
            places = splits[0].propositions.rows, splits[0].pairs.rows
            splits = (replace(splits[0], taught=teach(settings, (train, ordered), places, cache, watch)), splits[1])
        if cut := sum(each.truncated for each in counts):
            watch.note(f"premises that do not fit into {settings.max_length} tokens: {cut:,}; only their end is read")
        run = Run(estimator, settings, *splits, accelerator, watch, hollow)
        learned_from = (train, dev), [each for each in (ordered, dev_pairs) if each is not None]
        return _fitted(run, work, out_dir, started, counts, learned_from=learned_from)


def read_splits(
    estimator: Estimator,
    settings: FitSettings,
    folder: Path,
    train: tuple[Rows, Rows | None],
    dev: tuple[Rows, Rows | None],
) -> tuple[tuple[Evidence, Evidence], list[Counts]]:
    """Tokenise both splits. Dev has order pairs only if it has no propositions.

    If cut points are learned, the network gets those of the ordinal labels.
    """
    prior, scales = prior_for(train[0], settings), None if settings.ordinal == "interval" else dict[Scale, int]()
    found, counts, promised = list[Evidence](), list[Counts](), 0
    for split, (rows, pairs) in (("train", train), ("dev", dev)):
        examples, of_rows = examples_of(
            rows, estimator, settings, prior=prior, folder=folder, split=split, scales=scales
        )
        use_pairs = settings.pair_rate if split == "train" else not len(examples.prompts)
        ordered, of_pairs = pairs_of(pairs if use_pairs else None, estimator, settings, folder=folder, split=split)
        stores = (examples.prompts, ordered.higher, ordered.lower) if estimator.network.trees else ()
        # Smaller parts would leave fewer propositions to compare within one.
        padded = not estimator.network.trees and not settings.batch_margin_weight
        evidence = Evidence(examples, ordered, opening(*stores), padded=padded)
        if not len(evidence):
            raise InputError(f"the {split} split has no propositions or order pairs; publish a dataset with more")
        if split == "train" and not steps_of(len(examples.prompts), len(ordered.weights), settings.pair_rate, 1):
            raise InputError(
                f"the train split has no propositions, and pair_rate = {settings.pair_rate:g} takes none of its "
                f"{len(ordered.weights):,} order pairs; set pair_rate = 1 to read each once per epoch"
            )
        if lower := lower_layers(estimator.network.model, settings):
            states = keep(
                estimator, lower, evidence.stores, evidence.opening, folder=folder, split=split, promised=promised
            )
            promised += states.bytes
            evidence = replace(evidence, states=states)
        found.append(evidence)
        counts += [of_rows, of_pairs]
    if scales:
        estimator.network.cuts = CutPoints(list(scales), settings.levels, settings.spread).to(estimator.device)
    return (found[0], found[1]), counts


def _fitted(
    run: Run,
    work: Path,
    out_dir: Path,
    started: float,
    counts: list[Counts],
    *,
    learned_from: tuple[Sequence[Rows], Sequence[Rows]],
) -> Fitted:
    """Train, write the record of the fit, and move the best estimator into its place."""
    progress = rounds.train(run, work, started)
    constant = constant_loss(run.train, run.dev, run.settings)
    if constant is not None and progress.best >= constant:
        n = len(run.dev.propositions.prompts)
        nothing = "the estimator learned nothing that helps; add data or train longer"
        few = f"with only {n} dev propositions that tells little; odds evaluate measures on the test split"
        run.watch.note(
            f"the dev loss never fell below that of a constant answer ({progress.best:.4f}, constant {constant:.4f}): "
            + (nothing if n >= TELLING else few)
        )
    if progress.base is not None and progress.best >= progress.base:
        run.watch.note(
            f"the dev loss never fell below that of its base ({progress.best:.4f}, base {progress.base:.4f}): the base "
            "alone may be better; odds evaluate --suite NAME --against BASE compares the two"
        )
    if run.accelerator.is_main_process:
        _say_found(run, work / "best")
    fitted = Fitted(
        path=out_dir,
        dev_loss=progress.best,
        constant_loss=constant,
        base_loss=progress.base,
        steps=progress.step,
        duration_s=time.monotonic() - started,
        history=tuple(FitProgress(**each) for each in progress.history),
        truncated=sum(each.truncated for each in counts),
        drops=tuple(drop for each in counts for drop in each.drops),
    )
    if run.accelerator.is_main_process:
        told = {"n_train": counts[0].rows, "n_dev": counts[2].rows, "n_pairs": len(run.train.pairs.weights)}
        told |= {"processes": run.accelerator.num_processes, "split": run.split}
        told["n_simulated"] = sum(each.simulated for each in counts)
        best = work / "best"
        for tracker in run.accelerator.trackers:  # end_training would also end the group of processes
            tracker.finish()
        if (logs := work / TENSORBOARD).is_dir():
            shutil.copytree(logs, best / TENSORBOARD, dirs_exist_ok=True)  # a fit that stopped here left some there
            shutil.rmtree(logs)
        write_seen(best, run.settings.base, *learned_from, teacher=run.settings.teacher)
        (best / SUMMARY).write_text(summary_of(asdict(fitted), run.settings, told), encoding="utf-8")
        best.rename(out_dir)
        for path in work.glob("step-*"):
            path.unlink(missing_ok=True)
    run.accelerator.wait_for_everyone()
    return fitted


def _say_found(run: Run, best: Path) -> None:
    """Tell what the calibration of the best estimator is worth, and its cut points."""
    if said := remark(read_calibration(best), run.dev.propositions.judgments, run.settings.coverage):
        run.watch.note(said)
    info = read_info(best)
    for source, scales in (info.cut_points or {} if info else {}).items():
        for size, cuts in scales.items():
            run.watch.note(f"cut points of {source}, 1 to {size}: {', '.join(f'{cut:.3f}' for cut in cuts)}")
