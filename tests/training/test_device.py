"""The device and the precision that settings mean, on machines that this one is not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from flows.estimators.scoring import scored
from flows.settings.settings import Settings
from tests.fixtures.estimator import Base, shard_table
from tests.training.test_estimator import estimator
from training.model.device import _seconds, place_of
from training.model.texts import texts
from warehouse.errors import InputError
from warehouse.records import Model

AVX2 = {"avx2": True, "avx512_bf16": False, "amx_bf16": False}
AVX512_WITHOUT_BF16 = {"avx2": True, "avx512_f": True, "avx512_bw": True, "avx512_bf16": False}


def cpu(monkeypatch: pytest.MonkeyPatch, has: dict[str, bool]) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has)


def gpu(monkeypatch: pytest.MonkeyPatch, major: int) -> None:
    class Properties:
        pass

    Properties.major = major  # type: ignore[attr-defined]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: Properties)


@pytest.mark.parametrize(
    ("has", "chosen"),
    [
        (AVX2, "fp32"),
        (AVX512_WITHOUT_BF16, "fp32"),
        ({"avx512_bf16": True, "amx_bf16": True, "amx_tile": True}, "bf16"),
        ({}, "fp32"),
    ],
)
def test_a_cpu_takes_bf16_only_where_it_has_instructions_for_it(
    monkeypatch: pytest.MonkeyPatch, has: dict[str, bool], chosen: str
) -> None:
    cpu(monkeypatch, has)
    monkeypatch.setattr("training.model.device._seconds", lambda kind: pytest.fail("nothing is to be measured"))
    place = place_of()
    assert (place.device.type, place.precision, place.warning) == ("cpu", chosen, "")


@pytest.mark.parametrize("has", [{"avx512_bf16": True, "amx_bf16": False}, {"neon": True, "bf16": True}])
@pytest.mark.parametrize(("bf16_s", "chosen"), [(0.5, "bf16"), (0.9, "fp32"), (1.8, "fp32")])
def test_a_cpu_with_such_instructions_takes_bf16_only_if_they_are_faster(
    monkeypatch: pytest.MonkeyPatch, has: dict[str, bool], bf16_s: float, chosen: str
) -> None:
    cpu(monkeypatch, has)
    took = {torch.bfloat16: bf16_s, torch.float32: 1.0}
    monkeypatch.setattr("training.model.device._seconds", took.__getitem__)
    assert place_of()[:2] == (torch.device("cpu"), chosen)


def test_what_is_measured_tells_a_faster_product_from_a_slower_one(monkeypatch: pytest.MonkeyPatch) -> None:
    linear = torch.nn.functional.linear

    def slow(rows: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        if rows.dtype == torch.bfloat16:
            linear(torch.ones(1000, 1000), torch.ones(1000, 1000))
        return linear(rows.float(), weights.float())

    monkeypatch.setattr(torch.nn.functional, "linear", slow)
    _seconds.cache_clear()
    cpu(monkeypatch, {"avx512_bf16": True})
    assert place_of().precision == "fp32"
    _seconds.cache_clear()


@pytest.mark.parametrize(("major", "chosen"), [(7, "fp32"), (8, "bf16"), (9, "bf16")])
def test_a_gpu_takes_bf16_from_compute_capability_8(monkeypatch: pytest.MonkeyPatch, major: int, chosen: str) -> None:
    gpu(monkeypatch, major)
    assert place_of()[:2] == (torch.device("cuda"), chosen)
    assert bool(place_of("cuda", "bf16").warning) is (chosen == "fp32")


def test_forced_bf16_says_what_it_costs_only_where_it_is_emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu(monkeypatch, AVX2)
    place = place_of("cpu", "bf16")
    assert place.precision == "bf16"
    assert "a hundred times slower" in place.warning
    assert "\n" not in place.warning
    assert not place_of("cpu", "fp32").warning
    cpu(monkeypatch, {"avx512_bf16": True})
    assert place_of("cpu", "bf16")[1:] == ("bf16", "")
    assert place_of("cpu", "fp32")[1:] == ("fp32", "")


def test_a_missing_gpu_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu(monkeypatch, AVX2)
    with pytest.raises(InputError, match="no CUDA device"):
        place_of("cuda")


def test_scoring_honours_the_settings(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tiny_base: Base, tmp_path: Path
) -> None:
    cpu(monkeypatch, AVX2)
    estimator(tiny_base, disturb=True).save(tmp_path)
    model = Model(
        model_id="m",
        name="odds",
        dataset_id="d",
        base_model="tiny",
        settings="{}",
        code_version="0",
        path=str(tmp_path),
        dev_loss=1.0,
        steps=1,
        duration_s=1.0,
    )
    found = {}
    for precision in ("auto", "fp32", "bf16"):
        settings = Settings.model_validate({"training": {"device": "cpu", "precision": precision}})
        with scored(settings, model, texts(shard_table(6)), 6) as parts:
            found[precision] = {key: row.score for part in parts for key, row in part.scores.items()}
        assert ("slower than fp32" in capsys.readouterr().err) is (precision == "bf16")
    assert found["auto"] == found["fp32"] != found["bf16"]
    assert found["bf16"] == pytest.approx(found["fp32"], abs=0.05)
