"""Everything a person can set, in one file: `odds.toml`, with `ODDS_<SECTION>__<NAME>` in the environment above it.

Paths in the file are relative to the file's folder. Secrets never stand in it: it names the environment variable that
holds one. An unknown key is refused, with its place.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeAlias
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from flows.settings.errors import PREFIX, first_problem, no_json, refuse_passwords
from synthesis.panel.defaults import DEFAULT_ENDPOINT, DEFAULT_JUDGE, DEFAULT_PANEL, DEFAULT_PROPOSER
from synthesis.panel.settings import EMBEDDED, Endpoint, Judge, Labeler, ModelConfig, Proposer
from training.settings import FitSettings
from warehouse.catalog.address import address_of, data_place
from warehouse.errors import InputError
from warehouse.records import ConsensusMethod

CONFIG_NAME = "odds.toml"
CONFIG_VARIABLE = "ODDS_CONFIG"


class Section(BaseModel):
    """A table of the settings file."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _known(value: str, read: Callable[[str], object]) -> str:
    """The value, if it can be read. Raises `ValueError` where not."""
    read(value)
    return value


class WarehouseSettings(Section):
    """Where the DuckLake catalog and its parquet files lie, and the memory that queries may take.

    Empty: both under `home`, and 80% of the machine's memory. `keep_snapshots_days` is how long `odds maintain` keeps
    snapshots that no dataset rests on.
    """

    catalog: str | None = None
    data_path: str | None = None
    memory_limit: Annotated[str, Field(pattern=r"^\d+(\.\d+)? ?([KMGT]i?B)$")] | None = None
    keep_snapshots_days: Annotated[float, Field(ge=0, le=36_500)] = 30

    @field_validator("catalog")
    @classmethod
    def _catalog_is_known(cls, value: str | None) -> str | None:
        return value if value is None else _known(value, address_of)

    @field_validator("data_path")
    @classmethod
    def _data_path_is_known(cls, value: str | None) -> str | None:
        return value if value is None else _known(value, data_place)


class SplitSettings(Section):
    """The shares of premises that go to training and to selection; the rest is the test split."""

    train: Annotated[float, Field(gt=0, lt=1)] = 0.7
    dev: Annotated[float, Field(gt=0, lt=1)] = 0.1

    @model_validator(mode="after")
    def _leaves_a_test_split(self) -> SplitSettings:
        if self.train + self.dev >= 1:
            raise ValueError("train + dev must stay below 1, so that a test split is left")
        return self


class AnnotationSettings(Section):
    """The Label Studio project. `url = "embedded"` starts a server of our own on loopback.

    `simulated_annotators` is for demonstrations: so many simulated annotators judge beside people, always marked.
    """

    url: str = EMBEDDED
    token_env: str = "LABEL_STUDIO_TOKEN"  # noqa: S105 - the name of a variable, not a token
    command: Path | None = None
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    project: Annotated[str, Field(min_length=3, max_length=50)] = "Odds"
    judgments_per_proposition: Annotated[int, Field(ge=1, le=100)] = 3
    simulated_annotators: Annotated[int, Field(ge=0, le=6)] = 0

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        parts = urlsplit(value)
        if value != EMBEDDED and (parts.scheme not in {"http", "https"} or not parts.hostname):
            raise ValueError('write "embedded", or an address such as https://labels.example.org')
        if parts.username or parts.password:
            raise ValueError("the address holds a user or a password; the token belongs into the variable of token_env")
        return value


class AgreementSettings(Section):
    """How often propositions are resampled for the intervals, and how the consensus is computed.

    `precision_tolerance`: all propositions are fitted again when an annotator's SD has moved by more than this share of
    it. `labeler_weights`: how many judgments of an average annotator a recalibrated estimate of a labeler is worth in
    the consensus; a labeler that is not named is worth none.
    """

    draws: Annotated[int, Field(ge=100, le=100_000)] = 2000
    seed: int = 0
    consensus: ConsensusMethod = "em"
    precision_tolerance: Annotated[float, Field(ge=0)] = 0.05
    labeler_weights: dict[str, Annotated[float, Field(ge=0, le=100)]] = {}

    @model_validator(mode="after")
    def _method_takes_estimates(self) -> AgreementSettings:
        if self.labeler_weights and self.consensus not in ("mean", "em"):
            raise ValueError(
                f"the consensus {self.consensus} takes judgments alone: empty labeler_weights, or mean or em"
            )
        return self


class PublishSettings(Section):
    """The name under which training sets are published, what they are mixed of, and the rows of a shard at most.

    The weights multiply the loss of a part: propositions with judgments (human), propositions with nothing but
    estimates of labelers (synthetic), order pairs of a proposition and its strengthener or weakener (pairs). 0 leaves
    a part out. Premises whose sets of words have a Jaccard similarity of `near_duplicates` or more stay in one split;
    0 turns that off.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")] = "odds"
    human_weight: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    synthetic_weight: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    pairs_weight: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    near_duplicates: Annotated[float, Field(ge=0, le=1)] = 0.8
    max_rows_per_shard: Annotated[int, Field(ge=1)] = 100_000

    @model_validator(mode="after")
    def _holds_propositions(self) -> PublishSettings:
        if not self.human_weight and not self.synthetic_weight:
            raise ValueError("human_weight or synthetic_weight must be above 0: a training set needs propositions")
        return self


class TrainingSettings(FitSettings):
    """How the estimator is fitted. `base = "embedded"` takes the weights of the embedded model."""

    base: Annotated[str, Field(min_length=1)] = EMBEDDED


class Settings(BaseSettings):
    """The settings of one installation."""

    model_config = SettingsConfigDict(
        extra="forbid",
        env_prefix=PREFIX,
        allow_inf_nan=False,
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
        hide_input_in_errors=True,
    )

    root: Path = Path()
    home: Path = Path(".odds")
    ledger: str | None = None
    warehouse: WarehouseSettings = WarehouseSettings()
    splits: SplitSettings = SplitSettings()
    endpoints: tuple[Endpoint, ...] = (DEFAULT_ENDPOINT,)
    proposer: Proposer = DEFAULT_PROPOSER
    labelers: tuple[Labeler, ...] = DEFAULT_PANEL
    judge: Judge = DEFAULT_JUDGE
    annotation: AnnotationSettings = AnnotationSettings()
    agreement: AgreementSettings = AgreementSettings()
    publish: PublishSettings = PublishSettings()
    training: TrainingSettings = TrainingSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment stands above the file, so that a deployment can override one value."""
        return env_settings, init_settings

    @field_validator("home", mode="before")
    @classmethod
    def _home_is_named(cls, value: object) -> object:
        if value == "":
            raise ValueError("it is empty; name a folder, or leave it out for .odds")
        return value

    @field_validator("ledger")
    @classmethod
    def _ledger_is_known(cls, value: str | None) -> str | None:
        return value if value is None else _known(value, address_of)

    @model_validator(mode="after")
    def _names_resolve(self) -> Settings:
        names = [endpoint.name for endpoint in self.endpoints]
        if len(set(names)) < len(names):
            raise ValueError(f"endpoints: two have the same name, out of {names}")
        labelers = [labeler.name for labeler in self.labelers]
        configs = [config.name for config in self.configs]
        if twice := sorted({name for name in configs if configs.count(name) > 1}):
            raise ValueError(f"labelers, proposer and judge: two have the same name, {twice[0]}")
        for config in self.configs:
            if config.endpoint not in names:
                raise ValueError(f"{config.name}: endpoint {config.endpoint!r} is not among {names}")
        if unknown := set(self.agreement.labeler_weights) - set(labelers):
            raise ValueError(f"agreement.labeler_weights: {sorted(unknown)[0]!r} is not among {labelers}")
        return self

    @model_validator(mode="after")
    def _prompt_files_lie_beside(self) -> Settings:
        def place(prompt: str) -> str:
            return str(self.path(prompt)) if prompt.endswith(".toml") else prompt

        self.labelers = tuple(labeler.with_prompts(place) for labeler in self.labelers)
        self.proposer = self.proposer.with_prompts(place)
        self.judge = self.judge.with_prompts(place)
        return self

    @property
    def configs(self) -> tuple[ModelConfig, ...]:
        """Everybody who asks a model."""
        return (*self.labelers, self.proposer, self.judge)

    @property
    def panel(self) -> tuple[Labeler, ...]:
        """The labelers. Raises `InputError` where there are none, so that a stage that needs them does not begin."""
        if not self.labelers:
            raise InputError("labelers is empty: name at least one labeler in odds.toml")
        return self.labelers

    @property
    def ledger_path(self) -> Path | str:
        """The ledger: an SQLite file's path or a PostgreSQL connection string."""
        return self._place(self.ledger, "ledger.sqlite")

    def path(self, path: Path | str) -> Path:
        """A path of the settings file, relative to its folder."""
        return (self.root / Path(path).expanduser()).resolve()

    @property
    def home_path(self) -> Path:
        """The folder that holds everything the product writes by default."""
        return self.path(self.home)

    @property
    def catalog(self) -> str:
        """The DuckLake catalog: a SQLite file's path or a `postgres:` connection string."""
        return str(self._place(self.warehouse.catalog, "warehouse/catalog.sqlite"))

    @property
    def data_path(self) -> str:
        """Where the warehouse's parquet files lie: a folder or an `s3://` address."""
        named = self.warehouse.data_path
        place = self.home_path / "warehouse" / "data" if named is None else data_place(named)
        return place if isinstance(place, str) else str(self.path(place))

    def _place(self, named: str | None, default: str) -> Path | str:
        place = self.home_path / default if named is None else address_of(named)
        return place if isinstance(place, str) else self.path(place)


Config: TypeAlias = Settings | Path | str | None
"""Settings, or the file to read them from; see `load_settings`."""


def load_settings(config: Config = None) -> Settings:
    """Return the settings of a file; settings that were read before are returned as they are.

    Without a file it is the one that `ODDS_CONFIG` names, else `odds.toml` in the working directory, else the defaults.

    Raises:
        InputError: a file that was named is missing; the file is not TOML, holds a password of PostgreSQL, or has an
            unknown key or an invalid value.
    """
    if isinstance(config, Settings):
        return config
    named = config if config is not None else os.environ.get(CONFIG_VARIABLE) or None
    path = Path(CONFIG_NAME if named is None else named)
    if named is not None and not path.is_file():
        raise InputError(f"{path}: no such settings file; `odds init` writes one")
    table: dict[str, Any] = {}
    if path.is_file():
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: not valid TOML: {error}") from error
    refuse_passwords(path, table)
    if "root" in table:
        raise InputError(f"{path}: root cannot be set: paths are relative to the file's folder")
    try:
        return Settings(root=path.resolve().parent, **table)
    except ValidationError as error:
        raise InputError(first_problem(path, error)) from error
    except SettingsError as error:
        raise InputError(no_json(str(error))) from None
