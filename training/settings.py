"""The settings of a fit. Imports nothing heavy, since the command line reads them at each start."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "bf16", "fp32"]
TargetKind = Literal["gaussian", "mixture", "mixture+dirichlet", "beta"]
Ordinal = Literal["interval", "cut-points"]
Loss = Literal["forward", "reverse", "crps", "wasserstein"]
Kind = Literal["causal", "encoder"]
Tuning = Literal["lora", "upper", "full"]
Recalibrate = Literal["none", "isotonic", "beta"]
IntervalOf = Literal["judgment", "consensus"]
Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0)]


class FitSettings(BaseModel):
    """How an estimator is fitted. `base` is a folder or a name in Hugging Face format, or a GGUF file.

    `device` and `precision` also apply to scoring; `training.model.device.place_of` defines "auto".

    Attributes:
        kind: A causal language model that is asked a question, or an encoder of pairs with a level head.
        loss: `training.fit.loss` defines them: a divergence of the whole answer (forward, reverse), or a distance
            between the distributions over the levels (crps, wasserstein).
        ordinal: What a label r of R means: the interval [(r - 1)/R, r/R], or what lies between two cut points that are
            learned for each source (`training.model.cut_points`).
        mean_weight: How much (score - mean)^2 counts beside the loss.
        margin_weight: How much the margin loss of an order pair counts, besides the pair's own weight.
        batch_margin_weight: The same for the propositions that go through the model together, ordered by their means.
        pair_rate: How many times an epoch goes through the order pairs; it goes through the propositions once.
        tuning: LoRA on all layers (lora, the default) or the upper ones (upper), or all weights (full, the default for
            an encoder).
        upper_layers: How many layers are the upper ones.
        learning_rate: The peak rate of everything but the level rows.
        cut_learning_rate: The peak rate of cut points.
        max_steps: End after this many steps; the learning rate is 0 by then.
        max_minutes: The same for the time of the whole fit.
        teacher: The folder of an estimator whose level distributions are learned beside what people said, for
            propositions and for both sides of order pairs (`training.fit.teaching`).
        teacher_weight: The share of its distribution in the target of a proposition, and its weight beside the margin
            loss of an order pair.
        dev_rows: The maximum number of dev propositions used to select the epoch; by default all that people judged.
        patience: Stop after this many epochs without improvement on dev; by default never.
        batch_size: Propositions and order pairs per step, over all processes.
        checkpoint_minutes: How often a fit writes what it needs to go on, besides the end of each epoch.
        recalibrate: The monotone map of the scores to fit on dev at the end; `training.fit.calibrate` defines them.
        coverage: The share of truths that the interval of a score should hold.
        interval_of: What an interval is of: a single judgment, or the consensus mean.
        launch: A configuration file of `accelerate launch`, to fit in several processes, whole or split over them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    base: Annotated[str, Field(min_length=1)]
    kind: Kind = "causal"
    levels: Annotated[int, Field(ge=2, le=100)] = 10
    target: TargetKind = "mixture"
    spread: Annotated[float, Field(gt=0, le=1)] = 0.1
    ordinal: Ordinal = "interval"
    loss: Loss = "forward"
    temperature: Annotated[float, Field(gt=0)] = 1.0
    mean_weight: Share = 0.0
    margin_weight: Share = 1.0
    batch_margin_weight: Share = 0.0
    margin: Annotated[float, Field(ge=0, le=1)] = 0.1
    pair_rate: Share = 1.0
    tuning: Tuning | None = None
    teacher: Annotated[str, Field(min_length=1)] | None = None
    teacher_weight: Annotated[float, Field(gt=0, le=1)] = 0.5
    upper_layers: Positive = 8
    lora_rank: Positive = 16
    lora_alpha: Positive = 32
    lora_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    epochs: Positive = 3
    batch_size: Positive = 16
    learning_rate: Annotated[float, Field(gt=0)] | None = None
    level_learning_rate: Annotated[float, Field(gt=0)] = 5e-3
    cut_learning_rate: Annotated[float, Field(gt=0)] = 1e-2
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.1
    max_length: Annotated[int, Field(ge=16)] = 256
    max_steps: Positive | None = None
    max_minutes: Annotated[float, Field(gt=0)] | None = None
    dev_rows: Positive | None = None
    patience: Positive | None = None
    recalibrate: Recalibrate = "none"
    coverage: Annotated[float, Field(ge=0.5, le=0.99)] = 0.9
    interval_of: IntervalOf = "judgment"
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    device: Device = "auto"
    precision: Precision = "auto"
    gradient_checkpointing: bool = False
    checkpoint_minutes: Annotated[float, Field(gt=0)] = 5.0
    launch: str | None = None

    @model_validator(mode="after")
    def _encoders_have_no_upper_layers(self) -> FitSettings:
        if self.kind == "encoder" and self.tuned == "upper":
            raise ValueError('an encoder is fitted whole: remove tuning = "upper", or set it to "full" or "lora"')
        return self

    @model_validator(mode="after")
    def _cut_points_have_no_teacher(self) -> FitSettings:
        if self.teacher is not None and self.ordinal == "cut-points":
            raise ValueError('a teacher gives no labels, which ordinal = "cut-points" needs: remove one of the two')
        return self

    @property
    def tuned(self) -> Tuning:
        """What is fitted."""
        return self.tuning or ("full" if self.kind == "encoder" else "lora")

    @property
    def peak(self) -> float:
        """The peak learning rate of everything but the level rows: by default 5e-4 with LoRA, 1e-4 for all weights."""
        if self.learning_rate is not None:
            return self.learning_rate
        return 1e-4 if self.tuned == "full" else 5e-4

    @property
    def how(self) -> dict[str, object]:
        """The settings that change what is fitted, without those that say where and how it runs."""
        where = {"device", "checkpoint_minutes", "launch", "gradient_checkpointing"}
        return self.model_dump(exclude=where if self.teacher else where | {"teacher", "teacher_weight"})
