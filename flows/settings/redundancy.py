"""How many judgments a proposition gets: a fixed number, or more where they help, within a budget."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from warehouse.records.base import Count

Redundancy = Literal["fixed", "adaptive"]
TargetSd = Annotated[float, Field(gt=0, lt=0.5)]
MostJudgments = Annotated[int, Field(ge=2, le=1000)]
Money = Annotated[float, Field(ge=0)]

LIMITS = ("budget_judgments", "budget")


class RedundancySettings(BaseModel):
    """The settings of `[annotation]` about how many judgments a proposition gets.

    With "fixed", `judgments_per_proposition`. With "adaptive" that many at first; then `odds push` asks for one more
    where the posterior SD is above `target_sd`, up to `most_judgments` per proposition, while the budget lasts:
    `budget_judgments` in all, or as many as `budget` pays for at `cost_per_judgment`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    redundancy: Redundancy = "fixed"
    target_sd: TargetSd = 0.12
    most_judgments: MostJudgments = 10
    budget_judgments: Count | None = None
    budget: Money | None = None
    cost_per_judgment: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _budget_is_used(self) -> RedundancySettings:
        if self.budget is not None and self.cost_per_judgment is None:
            raise ValueError("budget needs cost_per_judgment, which says how many judgments it pays for")
        limits = [name for name in LIMITS if getattr(self, name) is not None]
        if limits and self.redundancy == "fixed":
            raise ValueError(
                f'{limits[0]} limits what adaptive redundancy adds: set redundancy = "adaptive", or remove it'
            )
        return self

    def judgments_left(self, spent: int) -> int | None:
        """Return how many judgments the budget has left after `spent` of them; None without a budget."""
        limits = [] if self.budget_judgments is None else [self.budget_judgments]
        if self.budget is not None and self.cost_per_judgment is not None:
            limits.append(int(round(self.budget / self.cost_per_judgment, 9)))  # 0.3 / 0.1 is 2.9999999999999996
        return max(min(limits) - spent, 0) if limits else None


class ProjectRedundancySettings(BaseModel):
    """What a project sets for itself about redundancy; for the rest the settings of `[annotation]` hold.

    With a budget of its own, a project does not draw on that of `[annotation]`, and its judgments don't count there.
    """

    redundancy: Redundancy | None = None
    target_sd: TargetSd | None = None
    most_judgments: MostJudgments | None = None
    budget_judgments: Count | None = None
    budget: Money | None = None

    @property
    def has_budget(self) -> bool:
        """Whether the project has a budget of its own."""
        return any(getattr(self, name) is not None for name in LIMITS)

    def within(self, shared: RedundancySettings) -> RedundancySettings:
        """Return the settings that hold for the project. Raises `ValueError` if they contradict each other."""
        values = {name: getattr(shared, name) for name in RedundancySettings.model_fields}
        own = {name: getattr(self, name) for name in ProjectRedundancySettings.model_fields}
        values |= {name: value for name, value in own.items() if value is not None}
        if self.has_budget:
            values |= {name: own[name] for name in LIMITS}
        elif values["redundancy"] == "fixed":
            values |= dict.fromkeys(LIMITS)
        return RedundancySettings(**values)
