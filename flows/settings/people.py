"""Whom a study invites on, and what it checks them by."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

Code = Annotated[str, Field(pattern=r"^[\w-]{1,64}$")]
Rate = Annotated[float, Field(ge=0, le=1)]


class RuleSettings(BaseModel):
    """The rules of `odds annotators review` about attention checks; off by default.

    From `min_checks` attention checks on, an annotator who passes a smaller share than `watch_below_check_rate` is
    watched, and below `exclude_below_check_rate` excluded. A person's decision stands before them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    watch_below_check_rate: Rate | None = None
    exclude_below_check_rate: Rate | None = None
    min_checks: Annotated[int, Field(ge=1)] = 5

    @model_validator(mode="after")
    def _watches_before_it_excludes(self) -> RuleSettings:
        watch, exclude = self.watch_below_check_rate, self.exclude_below_check_rate
        if watch is not None and exclude is not None and exclude > watch:
            raise ValueError("exclude_below_check_rate must not be above watch_below_check_rate")
        return self


class CrowdSettings(BaseModel):
    """The codes that a crowd platform gave to the study, for people to come back with.

    `completion_code` is for whoever finished, `screen_out_code` for whoever did not qualify. Label Studio cannot show
    them. `odds annotators invite` prints what to tell people, and `odds annotators approve` compares what they gave.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    completion_code: Code | None = None
    screen_out_code: Code | None = None

    @model_validator(mode="after")
    def _codes_differ(self) -> CrowdSettings:
        if self.completion_code is not None and self.completion_code == self.screen_out_code:
            raise ValueError("completion_code and screen_out_code must differ")
        return self


class PeopleSettings(BaseModel):
    """The settings of `[annotation]` about qualification and checks.

    An annotator qualifies who passes the share `qualify_at` of at least `qualify_checks` qualification checks (of all,
    if there are fewer). `check_rate` is the largest share of attention checks among the tasks of a study; without it,
    all that were imported are among them. `repeat_rate` is the share of tasks that repeat another one of the study.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    qualify_at: Rate = 0.8
    qualify_checks: Annotated[int, Field(ge=1)] = 5
    check_rate: Annotated[float, Field(ge=0, lt=1)] | None = None
    repeat_rate: Annotated[float, Field(ge=0, lt=0.5)] = 0
    rules: RuleSettings = RuleSettings()
    crowd: CrowdSettings = CrowdSettings()
