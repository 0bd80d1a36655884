"""A fit that is killed, or whose files are damaged, goes on to the weights that it would have had."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import pickle
import random
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from tests.fixtures.estimator import Base, pair_table, shard_table
from tests.training.test_fit import settings, weights_in
from training.fit import checkpoints
from training.fit.checkpoints import Checkpoints, Progress
from training.fit.loop import Fitted, fit
from training.fit.watch import FitProgress, Watch
from training.fit.workplace import discard_workplace, refuse_running, sweep_workplace, workplace
from training.settings import FitSettings
from warehouse.errors import InputError

STEPS = 9


def chosen(base: Base, **changes: object) -> FitSettings:
    """Nine steps in three epochs, with dropout, and a checkpoint after each step."""
    return settings(base, epochs=3, lora_dropout=0.1, checkpoint_minutes=1e-9, **changes)


def fitted(base: Base, out: Path, watch: Watch | None = None, how: FitSettings | None = None, **more: Any) -> Fitted:
    return fit(
        shard_table(16), shard_table(4, start=50), how or chosen(base), base.cache, out,
        pairs=pair_table(8, 60), watch=watch or Watch(), **more,
    )  # fmt: skip


@pytest.fixture(scope="session")
def expected(tiny_base: Base, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any]]:
    """The weights and the record of a fit that was never interrupted."""
    out = tmp_path_factory.mktemp("whole") / "model"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    whole = fitted(tiny_base, out)
    torch.set_num_threads(threads)
    assert whole.steps == STEPS
    return weights_in(out), record_of(out)


def record_of(out: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((out / "training.json").read_text())
    return {
        "dev_loss": record["dev_loss"],
        "losses": [(each["step"], each["loss"], each["dev_loss"]) for each in record["history"]],
    }


def assert_equal(out: Path, expected: tuple[dict[str, Any], dict[str, Any]]) -> None:
    weights, record = expected
    found = weights_in(out)
    assert found.keys() == weights.keys()
    assert all(np.array_equal(found[name], weights[name]) for name in weights)
    assert record_of(out) == record
    assert list(out.parent.iterdir()) == [out]


def stopped(base: Base, out: Path, step: int, how: FitSettings | None = None) -> Path:
    """Interrupt a fit after a step, before its checkpoint is written; return the folder that is left."""

    def interrupt(now: FitProgress) -> None:
        if now.step == step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fitted(base, out, Watch(step=interrupt), how)
    return out.with_name(f"{out.name}.fit")


@pytest.mark.parametrize("step", [3, 5])
def test_an_interrupted_fit_goes_on_from_its_last_checkpoint(
    tiny_base: Base, tmp_path: Path, expected: Any, step: int
) -> None:
    notes: list[str] = []
    steps: list[int] = []
    work = stopped(tiny_base, tmp_path / "model", step)
    kept = sorted(path.name for path in work.glob("step-*"))
    assert kept == [f"step-{n:08d}.{end}" for n in (step - 2, step - 1) for end in ("json", "safetensors")]
    fitted(tiny_base, tmp_path / "model", Watch(note=notes.append, step=lambda now: steps.append(now.step)))
    assert notes[0] == f"going on after step {step - 1}"
    assert steps == list(range(step, STEPS + 1))
    assert_equal(tmp_path / "model", expected)


def test_a_fit_that_is_started_anew_forgets_its_checkpoints(tiny_base: Base, tmp_path: Path, expected: Any) -> None:
    stopped(tiny_base, tmp_path / "model", 5)
    steps: list[int] = []
    discard_workplace(tmp_path / "model")
    fitted(tiny_base, tmp_path / "model", Watch(step=lambda now: steps.append(now.step)))
    assert steps == list(range(1, STEPS + 1))
    assert_equal(tmp_path / "model", expected)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


def remove(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("damage", [truncate, flip, remove])
@pytest.mark.parametrize("end", ["safetensors", "json"])
def test_a_damaged_checkpoint_is_skipped_for_the_one_before_it(
    tiny_base: Base, tmp_path: Path, expected: Any, damage: Callable[[Path], None], end: str
) -> None:
    if damage is flip and end == "json":
        pytest.skip("the hash in the JSON file is of the weights")
    notes: list[str] = []
    work = stopped(tiny_base, tmp_path / "model", 5)
    damage(work / f"step-00000004.{end}")
    fitted(tiny_base, tmp_path / "model", Watch(note=notes.append))
    skipped = [note for note in notes if note.startswith("step-00000004.json cannot be used")]
    assert len(skipped) == (damage is not remove or end == "safetensors")
    assert "going on after step 3" in notes
    assert all("\n" not in note for note in notes)
    assert_equal(tmp_path / "model", expected)


def test_what_a_killed_fit_left_behind_is_swept_when_it_goes_on(tiny_base: Base, tmp_path: Path) -> None:
    work = stopped(tiny_base, tmp_path / "model", 5)
    for name in (".rows.partial-4194305", ".best.partial-4194305"):  # no process has such an id
        (work / name).mkdir()
    assert len(list(stopped(tiny_base, tmp_path / "model", 6).glob(".*.partial-*"))) == 0


def test_where_every_checkpoint_is_damaged_the_fit_starts_anew(tiny_base: Base, tmp_path: Path, expected: Any) -> None:
    steps: list[int] = []
    work = stopped(tiny_base, tmp_path / "model", 4)
    for path in work.glob("step-*.safetensors"):
        truncate(path)
    fitted(tiny_base, tmp_path / "model", Watch(step=lambda now: steps.append(now.step)))
    assert steps == list(range(1, STEPS + 1))
    assert_equal(tmp_path / "model", expected)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        SafetensorError("Error while serializing: I/O error: Disk quota exceeded (os error 122)"),
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_keeps_the_last_checkpoint_and_the_fit_goes_on(
    tiny_base: Base, tmp_path: Path, expected: Any, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    left = [2]
    notes: list[str] = []

    def full(tensors: dict[str, torch.Tensor], path: Path) -> None:
        path.write_bytes(b"half")
        if not left[0]:
            raise error
        left[0] -= 1
        save_file(tensors, path)

    monkeypatch.setattr(checkpoints, "save_file", full)
    there: list[list[str]] = []
    work = tmp_path / "model.fit"
    watch = Watch(note=notes.append, step=lambda _: there.append(sorted(path.name for path in work.glob("*step-*"))))
    fitted(tiny_base, tmp_path / "model", watch)
    assert notes[:-2] == ["the disk is full, so this checkpoint was not written; the fit goes on"] * (STEPS - 2)
    assert there[-1] == [f"step-0000000{n}.{end}" for n in (1, 2) for end in ("json", "safetensors")]
    assert_equal(tmp_path / "model", expected)


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, ""), OSError(errno.EDQUOT, "", "some/file")])
def test_a_full_disk_ends_a_fit_in_one_line_and_it_goes_on_later(
    tiny_base: Base, tmp_path: Path, expected: Any, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    def full(*_: object, **__: object) -> None:
        raise error

    out = tmp_path / "model"
    with monkeypatch.context() as patch:
        patch.setattr("training.fit.loop.write_seen", full)
        with pytest.raises(InputError) as caught:
            fitted(tiny_base, out)
    where, what = error.filename or f"{out}.fit", os.strerror(error.errno or 0)
    again = "make room there and run odds train again, which goes on from its last checkpoint"
    assert str(caught.value) == f"{where} cannot be written: {what}; {again}"
    notes: list[str] = []
    fitted(tiny_base, out, Watch(note=notes.append))
    assert notes[0] == f"going on after step {STEPS}"
    assert_equal(out, expected)


def test_a_disk_that_is_full_before_the_first_step_is_one_line_and_leaves_nothing(
    tiny_base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("training.fit.store.Table.add", full)
    with pytest.raises(InputError, match=r"No space left on device; make room there and run odds train again$"):
        fitted(tiny_base, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_a_second_fit_of_the_same_estimator_is_refused_and_changes_nothing(
    tiny_base: Base, tmp_path: Path, expected: Any
) -> None:
    out, said = tmp_path / "model", list[str]()

    def again(now: FitProgress) -> None:
        if now.step == 5:
            for second in (_enter, discard_workplace, refuse_running):
                with pytest.raises(InputError) as caught:
                    second(out)
                said.append(str(caught.value))
            sweep_workplace(out)
            with workplace(out, main=False) as (_, rows):  # another process of the same fit
                assert rows.is_dir()

    with workplace(out, main=True), pytest.raises(InputError, match="is fitting the estimator"):
        fitted(tiny_base, out)
    fitted(tiny_base, out, Watch(step=again))
    who = f"process {os.getpid()} on {socket.gethostname()}"
    assert set(said) == {f"{who} is fitting the estimator {out} already; wait for it, or end it first"}
    assert_equal(out, expected)


def _enter(out: Path) -> None:
    with workplace(out, main=True):
        pass


def test_the_lock_of_a_killed_fit_is_gone(tmp_path: Path) -> None:
    out, forked = tmp_path / "model", multiprocessing.get_context("fork")
    reader, writer = forked.Pipe(duplex=False)
    running = forked.Process(target=_hold, args=(out, writer))
    running.start()
    assert _told(reader)
    with pytest.raises(InputError, match=f"process {running.pid} on .* is fitting the estimator"):
        refuse_running(out)
    assert running.pid is not None
    os.kill(running.pid, signal.SIGKILL)
    running.join(60)
    assert (tmp_path / "model.fit" / "lock").exists()
    refuse_running(out)
    sweep_workplace(out)
    assert list(tmp_path.iterdir()) == []


def _hold(out: Path, writer: Any) -> None:
    with workplace(out, main=True):
        writer.send_bytes(b"held")
        time.sleep(600)


def test_a_fit_that_ended_while_another_began_is_seen(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    with pytest.raises(InputError, match="already exists"), workplace(tmp_path / "model", main=True):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_another_error_while_writing_is_not_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(checkpoints, "save_file", broken)
    network = torch.nn.Linear(2, 2)
    with pytest.raises(OSError, match="Input/output"):
        Checkpoints(tmp_path, network, torch.optim.AdamW(network.parameters()), print).save(Progress())


def test_weights_and_moments_come_back_to_the_bit(tmp_path: Path) -> None:
    def made() -> tuple[torch.nn.Linear, torch.optim.AdamW]:
        torch.manual_seed(0)
        network = torch.nn.Linear(3, 2)
        network.bias.requires_grad_(False)
        return network, torch.optim.AdamW([network.weight], lr=0.1)

    def step(network: torch.nn.Linear, optimizer: torch.optim.AdamW, n: int) -> None:
        optimizer.zero_grad()
        network(torch.full((1, 3), float(n))).square().sum().backward()
        optimizer.step()

    one, other = made(), made()
    for n in range(4):
        step(*one, n)
    progress = Progress(4, 0.25, 1, [0.1 + 0.2], [{"step": 4, "dev_loss": None}])
    Checkpoints(tmp_path, *one, print).save(progress)
    assert Checkpoints(tmp_path, *other, print).load() == progress
    for pair in (one, other):
        step(*pair, 9)
    assert torch.equal(one[0].weight, other[0].weight)


def test_a_checkpoint_of_another_network_is_not_loaded(tmp_path: Path) -> None:
    notes: list[str] = []
    small, large = torch.nn.Linear(2, 2), torch.nn.Sequential(torch.nn.Linear(2, 2))
    Checkpoints(tmp_path, small, torch.optim.AdamW(small.parameters()), notes.append).save(Progress(3))
    found = Checkpoints(tmp_path, large, torch.optim.AdamW(large.parameters()), notes.append).load()
    assert found == Progress()
    assert "it lacks 0.bias" in notes[0]


def test_an_early_stop_stays_one_after_a_kill(tiny_base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    how = chosen(tiny_base, patience=1, learning_rate=1e-30, level_learning_rate=1e-30)
    whole = fitted(tiny_base, tmp_path / "whole", how=how)
    assert whole.steps == 6  # the second epoch is no better
    with monkeypatch.context() as patch:
        patch.setattr("training.fit.loop.summary_of", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            fitted(tiny_base, tmp_path / "model", how=how)
    assert fitted(tiny_base, tmp_path / "model", how=how).steps == 6


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_nothing_is_pickled(tiny_base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise AssertionError("this pickles")

    for owner, names in ((torch, ("save", "load")), (pickle, ("dump", "dumps", "load", "loads"))):
        for name in names:
            monkeypatch.setattr(owner, name, refused)
    stopped(tiny_base, tmp_path / "model", 5)
    seen: set[str] = set()

    def look(_: FitProgress) -> None:
        work = tmp_path / "model.fit"
        seen.update(path.suffix for path in work.iterdir() if path.is_file())
        for path in work.rglob("*"):
            assert not path.is_file() or path.suffix not in {".pt", ".bin", ".pkl", ".pth"}

    fitted(tiny_base, tmp_path / "model", Watch(step=look))
    assert seen == {".safetensors", ".json", ""}  # the last is the lock


@pytest.mark.slow
def test_three_fits_that_are_killed_have_the_weights_of_one_that_is_not(
    tiny_base: Base, tmp_path: Path, expected: Any
) -> None:
    for seed in range(3):
        kill_until_done(tiny_base, tmp_path / str(seed) / "model", seed, expected)


@pytest.mark.long
def test_twenty_fits_that_are_killed_have_the_weights_of_one_that_is_not(
    tiny_base: Base, tmp_path: Path, expected: Any
) -> None:
    killed = [kill_until_done(tiny_base, tmp_path / str(n) / "model", 100 + n, expected, 3) for n in range(20)]
    assert sum(killed) >= 20


def kill_until_done(base: Base, out: Path, seed: int, expected: Any, most: int = 1) -> int:
    """Run a fit in a process of its own, kill it at random moments, and let it end. Returns how often it was killed."""
    chance, killed = random.Random(seed), 0
    forked = multiprocessing.get_context("fork")
    for round_ in range(most + 1):
        reader, writer = forked.Pipe(duplex=False)
        running = forked.Process(target=_fit_and_tell, args=(base, out, writer))
        running.start()
        writer.close()
        if round_ < most:
            for _ in range(chance.randint(1, 5)):
                if not _told(reader):
                    break
            time.sleep(chance.random() * 0.1)
            assert running.pid is not None
            os.kill(running.pid, signal.SIGKILL)
        running.join(120)
        killed += running.exitcode == -signal.SIGKILL
        reader.close()
        if out.exists():
            break
    if running.exitcode == -signal.SIGKILL:  # between the last rename and the sweep, which the next `odds train` makes
        discard_workplace(out)
    assert_equal(out, expected)
    return killed


def _told(reader: Any) -> bool:
    try:
        reader.recv_bytes()
    except EOFError:
        return False
    return True


def _fit_and_tell(base: Base, out: Path, writer: Any) -> None:
    torch.set_num_threads(1)
    fitted(base, out, Watch(step=lambda now: writer.send_bytes(b"step")))
    os._exit(0)
