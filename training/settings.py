"""The settings of a fit. Imports nothing heavy, since the command line reads them at each start."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "bf16", "fp32"]
TargetKind = Literal["gaussian", "mixture", "mixture+dirichlet", "beta"]
Positive = Annotated[int, Field(ge=1)]


class FitSettings(BaseModel):
    """How an estimator is fitted. `base` is a GGUF file, or a folder or a name in Hugging Face format.

    `device` and `precision` also apply to scoring; `training.model.device.place_of` defines "auto". `learning_rate` is
    the peak rate of everything but the level rows; its default is 5e-4 with LoRA and 1e-4 in full tuning.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    base: Annotated[str, Field(min_length=1)]
    levels: Annotated[int, Field(ge=2, le=100)] = 10
    target: TargetKind = "mixture"
    spread: Annotated[float, Field(gt=0, le=1)] = 0.1
    loss: Literal["forward", "reverse"] = "forward"
    temperature: Annotated[float, Field(gt=0)] = 1.0
    margin_weight: Annotated[float, Field(ge=0)] = 0.0
    margin: Annotated[float, Field(ge=0, le=1)] = 0.1
    tuning: Literal["lora", "full"] = "lora"
    lora_rank: Positive = 16
    lora_alpha: Positive = 32
    lora_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.05
    epochs: Positive = 3
    batch_size: Positive = 16
    learning_rate: Annotated[float, Field(gt=0)] | None = None
    level_learning_rate: Annotated[float, Field(gt=0)] = 5e-3
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.1
    max_length: Annotated[int, Field(ge=16)] = 256
    max_minutes: Annotated[float, Field(gt=0)] | None = None
    seed: int = 0
    device: Device = "auto"
    precision: Precision = "auto"

    @property
    def peak(self) -> float:
        """The peak learning rate of everything but the level rows."""
        if self.learning_rate is not None:
            return self.learning_rate
        return 5e-4 if self.tuning == "lora" else 1e-4
