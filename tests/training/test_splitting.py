"""A fit whose model is split over processes gives what one process gives, and no process has the whole model."""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.fixtures.estimator import Base, pair_table, shard_table
from tests.training.test_fit import scores_by_id, settings, weights_in
from training.fit.loop import fit
from training.fit.processes import processes
from training.fit.record import workplace_of
from training.fit.splitting import filled, settle, split_over_processes
from training.fit.watch import FitProgress, Watch
from training.model.estimator import TOKENS_AT_ONCE, Estimator
from training.model.network import Network, layers_of
from training.model.start import start
from training.settings import FitSettings
from warehouse.errors import InputError

STEPS = 12


def chosen(base: Base, **changes: object) -> FitSettings:
    """26 examples in batches of 5: the last step of both epochs has one, so that the second process has none."""
    return settings(base, **{"epochs": 2, "batch_size": 5, "learning_rate": 2e-3} | changes)


def fitted(base: Base, how: FitSettings, out: Path, watch: Watch | None = None, *, split: bool) -> None:
    fit(
        shard_table(20), shard_table(7, start=50), how, base.cache, out,
        pairs=pair_table(6, 60), watch=watch or Watch(), split=split,
    )  # fmt: skip


def in_two(work: Callable[..., None], *arguments: Any) -> list[int | None]:
    """Run a function in two processes as accelerate launches them. Returns how they ended."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    forked = multiprocessing.get_context("fork")
    both = [forked.Process(target=_as_one_of_two, args=(rank, port, work, *arguments)) for rank in range(2)]
    for each in both:
        each.start()
    for each in both:
        each.join(120)
        if each.is_alive():
            each.kill()
    return [each.exitcode for each in both]


def _as_one_of_two(rank: int, port: int, work: Callable[..., None], *arguments: Any) -> None:
    places = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
    told = {**places, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "ACCELERATE_USE_CPU": "true"}
    os.environ.update({name: str(value) for name, value in told.items()}, OMP_NUM_THREADS="1")
    torch.set_num_threads(1)
    work(*arguments)


def _fit_split(base: Base, how: FitSettings, out: Path) -> None:
    fitted(base, how, out, split=True)


def _killed_in_step_9(base: Base, how: FitSettings, out: Path) -> None:
    def step(now: FitProgress) -> None:
        if now.step == 9:
            os.kill(os.getpid(), signal.SIGKILL)  # the first process; the other one then fails

    fitted(base, how, out, Watch(step=step), split=True)


def curve(folder: Path) -> list[float]:
    history = json.loads((folder / "training.json").read_text())["history"]
    return [each["loss"] for each in history] + [each["dev_loss"] or 0 for each in history]


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, {"tuning": "full", "gradient_checkpointing": True}], ids=["lora", "full"])
def test_a_split_fit_gives_the_losses_and_scores_of_one_process(
    tiny_base: Base, untied_base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object]
) -> None:
    base = untied_base if "tuning" in changes else tiny_base
    how = chosen(base, **changes)
    fitted(base, how, tmp_path / "one", split=False)
    monkeypatch.setitem(TOKENS_AT_ONCE, "cpu", 40)  # now the processes have different numbers of parts
    assert in_two(_fit_split, base, how, tmp_path / "two") == [0, 0]
    np.testing.assert_allclose(curve(tmp_path / "two"), curve(tmp_path / "one"), rtol=1e-4, atol=1e-5)
    one, two = weights_in(tmp_path / "one"), weights_in(tmp_path / "two")
    assert {name: each.shape for name, each in one.items()} == {name: each.shape for name, each in two.items()}
    for name, weights in one.items():
        np.testing.assert_allclose(two[name], weights, atol=1e-3)
    found, expected = (scores_by_id(tmp_path / name, shard_table(6, start=300)) for name in ("two", "one"))
    np.testing.assert_allclose(found, expected, atol=1e-3)
    for name in ("estimator.json", "calibration.json"):
        assert (tmp_path / "two" / name).exists() == (tmp_path / "one" / name).exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


@pytest.mark.slow
def test_a_split_fit_that_was_killed_goes_on_split_or_whole(tiny_base: Base, tmp_path: Path) -> None:
    how = chosen(tiny_base, tuning="full", checkpoint_minutes=1e-9)
    for name in ("whole", "killed", "elsewhere"):
        ended = in_two(_fit_split if name == "whole" else _killed_in_step_9, tiny_base, how, tmp_path / name)
        assert (ended == [0, 0]) == (name == "whole")
    assert (workplace_of(tmp_path / "killed") / "step-00000008.json").exists()
    assert in_two(_fit_split, tiny_base, how, tmp_path / "killed") == [0, 0]
    notes, steps = list[str](), list[int]()
    watch = Watch(note=notes.append, step=lambda now: steps.append(now.step))
    fitted(tiny_base, how, tmp_path / "elsewhere", watch, split=False)
    assert notes[0] == "going on after step 8"
    assert steps == list(range(9, STEPS + 1))
    expected = weights_in(tmp_path / "whole")
    for name, weights in expected.items():
        np.testing.assert_array_equal(weights_in(tmp_path / "killed")[name], weights)
        np.testing.assert_allclose(weights_in(tmp_path / "elsewhere")[name], weights, atol=1e-4)
    assert curve(tmp_path / "killed") == curve(tmp_path / "whole")


def _bytes_of_tensors() -> int:
    """The memory of all tensors of this process that have elements."""
    gc.collect()
    found = [each for each in gc.get_objects() if type(each) in (torch.Tensor, torch.nn.Parameter)]
    return sum({each.untyped_storage().data_ptr(): each.untyped_storage().nbytes() for each in found}.values())


def _hold_a_share(base: Base, how: FitSettings, folder: Path) -> None:
    with processes(torch.device("cpu"), folder) as accelerator:
        before = _bytes_of_tensors()
        estimator = start(how, base.cache, shard_table(8), folder / "model", move=False)
        network = estimator.network
        assert isinstance(network, Network)
        sizes = {name: each.numel() for name, each in network.named_parameters()}
        trained = sum(each.numel() for each in network.parameters() if each.requires_grad)
        hollow = split_over_processes(estimator)
        with torch.no_grad():
            network(estimator.batch([np.arange(5, dtype=np.int32)]).batch)
        settle(network)
        shares: dict[str, Any] = dict(network.named_parameters())
        local = {name: each.to_local().numel() for name, each in shares.items()}
        layers = {id(each) for each in layers_of(network.model)[2].parameters()}
        told = {
            "layers": sum(local[name] for name, each in shares.items() if id(each) in layers),
            "of": sum(sizes[name] for name, each in shares.items() if id(each) in layers),
            "rest": sum(local[name] for name, each in shares.items() if id(each) not in layers),
            "whole": sum(sizes.values()),
            "trained": trained,
            "empty": sum(each.numel() for each in hollow.parameters()),
            "bytes": _bytes_of_tensors() - before,
        }
        with filled(hollow, network, keep=accelerator.is_main_process):
            told["filled"] = sum(each.numel() for each in hollow.parameters())
        (folder / f"{accelerator.process_index}.json").write_text(json.dumps(told))


@pytest.mark.slow
@pytest.mark.parametrize("tuning", ["lora", "full"])
def test_each_process_holds_only_its_share(tiny_base: Base, tmp_path: Path, tuning: str) -> None:
    assert in_two(_hold_a_share, tiny_base, chosen(tiny_base, tuning=tuning), tmp_path) == [0, 0]
    one, two = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    assert one["layers"] + two["layers"] == one["of"] == two["of"]
    assert one["layers"] + one["rest"] + two["layers"] + two["rest"] == one["whole"]
    for told in (one, two):
        assert told["layers"] == pytest.approx(told["of"] / 2, rel=0.01)
        assert told["empty"] == 0
        assert told["bytes"] < 0.6 * 4 * told["whole"]  # with what is not a parameter
    assert (one["filled"], two["filled"]) == (one["trained"], 0)


def test_one_process_alone_splits_nothing(tiny_base: Base, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="one process, which splits nothing; set num_processes"):
        fitted(tiny_base, chosen(tiny_base), tmp_path / "m", split=True)
    assert list(tmp_path.iterdir()) == []


def test_a_hollow_network_keeps_ties_and_takes_weights(tiny_base: Base, tmp_path: Path) -> None:
    begun = start(chosen(tiny_base, tuning="full"), tiny_base.cache, shard_table(8), tmp_path / "model")
    network = begun.network
    assert isinstance(network, Network)
    expected = {name: each.detach().clone() for name, each in network.named_parameters()}
    hollow = network.hollow()
    assert [name for name, _ in hollow.named_parameters()] == list(expected)
    with filled(hollow, network, keep=True):
        assert all(torch.equal(each, expected[name]) for name, each in hollow.named_parameters())
        (tmp_path / "saved").mkdir()
        Estimator(hollow, begun.tokenizer, begun.info, begun.place).save(tmp_path / "saved")
    assert not any(each.numel() for each in hollow.parameters())
    loaded = Estimator.load(tmp_path / "saved", "cpu", "fp32")
    texts = [("It rains.", "The street is wet.")]
    np.testing.assert_allclose(loaded.score(texts).scores, begun.score(texts).scores, atol=1e-6)
