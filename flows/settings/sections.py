"""The sections of the settings file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    field_validator,
    model_validator,
)

from flows.settings.people import PeopleSettings
from flows.settings.redundancy import ProjectRedundancySettings, RedundancySettings
from synthesis.panel.settings import EMBEDDED, VariableName
from training.embedded import CARRIED, PRETRAINED
from training.settings import FitSettings
from warehouse.catalog.address import address_of, data_place
from warehouse.files.known import SuiteFormat
from warehouse.queries.routes import Route
from warehouse.records import DEFAULT_SHARES, ConsensusMethod, Interface, ProjectPurpose


class Section(BaseModel):
    """A table of the settings file."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _readable(read: Callable[[str], object]) -> AfterValidator:
    """Return the check that a text can be read, where `read` raises `ValueError` otherwise."""

    def check(value: str) -> str:
        read(value)
        return value

    return AfterValidator(check)


Address = Annotated[str, _readable(address_of)]
DataPlace = Annotated[str, _readable(data_place)]


class SuiteSettings(Section):
    """An evaluation set that is imported once and measured with all others.

    A format implies the family of a suite, except `plain`. `columns` has the column of each field that the file calls
    something else; it and what follows are as the options of `odds import suite`.
    """

    name: Annotated[str, Field(min_length=1)]
    file: Path
    format: SuiteFormat = "plain"
    family: Literal["correlation", "update", "choice"] | None = None
    license: str | None = None
    columns: Mapping[str, str] = {}
    scale: str | None = None
    ordinal: str | None = None
    values: str | None = None
    counts: str | None = None
    aggregated: bool = False
    first: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _family_fits(self) -> SuiteSettings:
        if self.format == "plain" and self.family is None:
            raise ValueError(f"suite {self.name}: a plain file needs a family: correlation, update or choice")
        if self.format != "plain" and self.family is not None:
            raise ValueError(f"suite {self.name}: the format {self.format} implies the family; remove family")
        return self


class WarehouseSettings(Section):
    """The DuckLake catalog, its parquet files, and the memory that queries may use.

    By default both are under `home`, and queries may use 80% of the memory. `odds maintain` keeps snapshots that no
    dataset needs for `keep_snapshots_days`.
    """

    catalog: Address | None = None
    data_path: DataPlace | None = None
    memory_limit: Annotated[str, Field(pattern=r"^\d+(\.\d+)? ?([KMGT]i?B)$")] | None = None
    keep_snapshots_days: Annotated[float, Field(ge=0, le=36_500)] = 30


class SplitSettings(Section):
    """The shares of premises for training and for model selection; the rest is the test split."""

    train: Annotated[float, Field(gt=0, lt=1)] = DEFAULT_SHARES[0]
    dev: Annotated[float, Field(gt=0, lt=1)] = DEFAULT_SHARES[1]

    @model_validator(mode="after")
    def _leaves_a_test_split(self) -> SplitSettings:
        if self.train + self.dev >= 1:
            raise ValueError("train + dev must be below 1, to leave a test split")
        return self


Title = Annotated[str, Field(min_length=3, max_length=50)]
JudgmentsEach = Annotated[int, Field(ge=1, le=100)]


class ProjectSettings(ProjectRedundancySettings, Section):
    """A Label Studio project and the propositions that go there.

    A study project takes the propositions whose premises have one of these sources and one of these languages, as far
    as no earlier project takes them; an empty list means all. A qualification project takes those of the table checks
    with the purpose practice or qualification, in the same way.
    """

    title: Title
    purpose: ProjectPurpose = "study"
    interface: Interface | None = None
    judgments_per_proposition: JudgmentsEach | None = None
    sources: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()


class Project(NamedTuple):
    """A Label Studio project of the settings.

    `route` is which propositions go there, `has_budget` whether the budget of `redundancy` is its own.
    """

    title: str
    purpose: ProjectPurpose
    interface: Interface
    judgments_per_proposition: int
    route: Route
    redundancy: RedundancySettings
    has_budget: bool = False

    @property
    def feedback(self) -> bool:
        """Whether its page tells the answers of practice tasks."""
        return self.purpose == "qualification"


class AnnotationSettings(RedundancySettings, PeopleSettings, Section):
    """The Label Studio projects. `url = "embedded"` starts a server on loopback.

    `project` takes the propositions that no project of `projects` takes. `interface`, `judgments_per_proposition` and
    the redundancy hold for all projects that don't set their own.
    `simulated_annotators` is for demonstrations: this many simulated annotators judge too, always marked as such.
    """

    url: str = EMBEDDED
    token_env: VariableName = "LABEL_STUDIO_TOKEN"  # noqa: S105 - the name of a variable, not a token
    command: Path | None = None
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    project: Title = "Odds"
    interface: Interface = "slider"
    judgments_per_proposition: JudgmentsEach = 3
    simulated_annotators: Annotated[int, Field(ge=0, le=6)] = 0
    projects: tuple[ProjectSettings, ...] = ()

    @property
    def every_project(self) -> tuple[Project, ...]:
        """All projects, each with its own settings; the one that takes the rest is the last."""
        each, rest = self.judgments_per_proposition, Route()
        others = [
            Project(
                one.title,
                one.purpose,
                one.interface or self.interface,
                one.judgments_per_proposition or each,
                Route(one.sources, one.languages),
                one.within(self),
                one.has_budget,
            )
            for one in self.projects
        ]
        return (*others, Project(self.project, "study", self.interface, each, rest, self))

    @model_validator(mode="after")
    def _redundancy_of_projects_is_possible(self) -> AnnotationSettings:
        for one in self.projects:
            try:
                one.within(self)
            except ValidationError as error:
                raise ValueError(f'project "{one.title}": {error.errors()[0]["ctx"]["error"]}') from None
        return self

    @model_validator(mode="after")
    def _titles_differ(self) -> AnnotationSettings:
        titles = [one.title for one in self.every_project]
        if twice := sorted({title for title in titles if titles.count(title) > 1}):
            raise ValueError(f'two projects have the same title, "{twice[0]}": rename one')
        return self

    @model_validator(mode="after")
    def _adaptive_can_start(self) -> AnnotationSettings:
        studies = [one for one in self.every_project if one.purpose == "study"]
        each = [one.judgments_per_proposition for one in studies if one.redundancy.redundancy == "adaptive"]
        if each and max(each) < 2:
            raise ValueError(
                "adaptive redundancy starts from propositions with two judgments: set judgments_per_proposition = 2 or "
                'more, or redundancy = "fixed"'
            )
        return self

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        parts = urlsplit(value)
        if value != EMBEDDED and (parts.scheme not in {"http", "https"} or not parts.hostname):
            raise ValueError('use "embedded" or an address such as https://labels.example.org')
        if parts.username or parts.password:
            raise ValueError("the address has a user or a password; put the token into the variable named by token_env")
        return value


class AgreementSettings(Section):
    """How often propositions are resampled for the intervals, and how the consensus is computed.

    `precision_tolerance`: all propositions are fitted again when an annotator's SD has changed by more than this share.
    `labeler_weights`: how many judgments of an average annotator a labeler's recalibrated estimate counts for in the
    consensus; the estimates of labelers that are not named don't count.
    """

    draws: Annotated[int, Field(ge=100, le=100_000)] = 2000
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    consensus: ConsensusMethod = "em"
    precision_tolerance: Annotated[float, Field(ge=0)] = 0.05
    labeler_weights: dict[str, Annotated[float, Field(ge=0, le=100)]] = {}

    @model_validator(mode="after")
    def _method_takes_estimates(self) -> AgreementSettings:
        if self.labeler_weights and self.consensus not in ("mean", "em"):
            raise ValueError(
                f"the consensus {self.consensus} uses only judgments: empty labeler_weights, or use mean or em"
            )
        return self


SeenItems = Literal["leave-out", "mark"]
"""What becomes of the items of a suite that an estimator has seen in training: not measured, or told apart by slice."""


class EvaluationSettings(Section):
    """How estimators are measured on suites, and which one is in use after a fit.

    `promotion` newest: the new one, unless a person chose another. suites: the one before, until `odds cycle` or a
    person promotes the new one for what it reaches on the suites.
    """

    seen: SeenItems = "leave-out"
    promotion: Literal["newest", "suites"] = "newest"


class PublishSettings(Section):
    """The name and the parts of training sets, and the maximal rows per shard.

    The weights multiply the loss of a part: propositions with judgments (human), propositions with only estimates
    (synthetic), order pairs (pairs). 0 leaves a part out. `source_weights` multiply the weights of the rows of a
    source. Premises whose sets of words have a Jaccard similarity of
    `near_duplicates` or more stay in one split; 0 turns that off.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")] = "odds"
    human_weight: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    synthetic_weight: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    pairs_weight: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    source_weights: dict[str, Annotated[float, Field(gt=0, le=1000)]] = {}
    near_duplicates: Annotated[float, Field(ge=0, le=1)] = 0.8
    max_rows_per_shard: Annotated[int, Field(ge=1)] = 100_000

    @model_validator(mode="after")
    def _has_a_part(self) -> PublishSettings:
        if not (self.human_weight or self.synthetic_weight or self.pairs_weight):
            raise ValueError("one of human_weight, synthetic_weight and pairs_weight must be above 0")
        return self


class TrainingSettings(FitSettings):
    """How the estimator is fitted: by default a fit goes on from the pretrained estimator.

    `base = "embedded"` uses the weights of the embedded language model or encoder. An estimator that Odds carries is an
    encoder and gets an adapter, unless `tuning` says otherwise; without `kind`, any other base is a language model.
    """

    base: Annotated[str, Field(min_length=1)] = PRETRAINED

    @model_validator(mode="wrap")
    @classmethod
    def _defaults_that_fit(cls, given: Any, made: ModelWrapValidatorHandler[Self]) -> Self:
        """What is left out of base, kind and tuning follows from the others, and does not count as set."""
        if not isinstance(given, dict):
            return made(given)
        causal = given.get("kind") == "causal" or given.get("tuning") == "upper"
        base = given.get("base", EMBEDDED if causal else PRETRAINED)
        known = {"kind": "encoder", "tuning": "lora"} if base in CARRIED else {"kind": "causal", "tuning": None}
        whole = made({"base": base, **known, **given})
        whole.model_fields_set.intersection_update(given)
        return whole
