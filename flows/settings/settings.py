"""Everything that can be set, in one file, `odds.toml`; the environment (`ODDS_<SECTION>__<NAME>`) overrides it.

Paths are relative to the file's folder. The file holds no secrets, only the names of the environment variables that do.
Unknown keys are refused, with their place.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from flows.settings.errors import PREFIX, first_problem, no_json, refuse_passwords, refuse_unknown_variables
from flows.settings.sections import (
    Address,
    AgreementSettings,
    AnnotationSettings,
    EvaluationSettings,
    PublishSettings,
    SplitSettings,
    SuiteSettings,
    TrainingSettings,
    WarehouseSettings,
)
from synthesis.panel.defaults import DEFAULT_ENDPOINT, DEFAULT_JUDGE, DEFAULT_PANEL, DEFAULT_PROPOSER
from synthesis.panel.settings import (
    EMBEDDED,
    AnyLabeler,
    Endpoint,
    EstimatorLabeler,
    Judge,
    Labeler,
    ModelConfig,
    Proposer,
)
from warehouse.catalog.address import address_of, data_place
from warehouse.errors import InputError

CONFIG_NAME = "odds.toml"
CONFIG_VARIABLE = "ODDS_CONFIG"


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
    ledger: Address | None = None
    warehouse: WarehouseSettings = WarehouseSettings()
    splits: SplitSettings = SplitSettings()
    endpoints: tuple[Endpoint, ...] = (DEFAULT_ENDPOINT,)
    proposer: Proposer = DEFAULT_PROPOSER
    labelers: tuple[AnyLabeler, ...] = DEFAULT_PANEL
    judge: Judge = DEFAULT_JUDGE
    annotation: AnnotationSettings = AnnotationSettings()
    agreement: AgreementSettings = AgreementSettings()
    publish: PublishSettings = PublishSettings()
    # By a factory, since an instance would be filled in before the settings: then base and kind seem given.
    training: TrainingSettings = Field(default_factory=TrainingSettings)
    evaluation: EvaluationSettings = EvaluationSettings()
    suites: tuple[SuiteSettings, ...] = ()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment override the file, so that a deployment can change one value."""
        return env_settings, init_settings

    @field_validator("home", mode="before")
    @classmethod
    def _home_is_named(cls, value: object) -> object:
        if isinstance(value, str) and not value.strip():
            raise ValueError("it is empty; name a folder, or remove it for .odds")
        return value

    @model_validator(mode="after")
    def _names_resolve(self) -> Settings:
        names = [endpoint.name for endpoint in self.endpoints]
        if len(set(names)) < len(names):
            raise ValueError(f"endpoints: two have the same name, out of {names}")
        labelers = [labeler.name for labeler in self.labelers]
        every = [*labelers, self.proposer.name, self.judge.name]
        if twice := sorted({name for name in every if every.count(name) > 1}):
            raise ValueError(f"labelers, proposer and judge: two have the same name, {twice[0]}")
        for config in (*self.llms, self.proposer, self.judge):
            # A default names the embedded one: where the file has others instead, that matters once it is asked.
            if config.endpoint not in (*names, EMBEDDED):
                raise ValueError(f"{config.name}: endpoint {config.endpoint!r} is not among {names}")
        suites = [suite.name for suite in self.suites]
        if twice := sorted({name for name in suites if suites.count(name) > 1}):
            raise ValueError(f"suites: two have the same name, {twice[0]}")
        if unknown := set(self.agreement.labeler_weights) - set(labelers):
            raise ValueError(f"agreement.labeler_weights: {sorted(unknown)[0]!r} is not among {labelers}")
        return self

    @model_validator(mode="after")
    def _prompt_files_lie_beside(self) -> Settings:
        def place(prompt: str) -> str:
            return str(self.path(prompt)) if prompt.endswith(".toml") else prompt

        self.labelers = tuple(
            labeler.with_prompts(place) if isinstance(labeler, Labeler) else labeler for labeler in self.labelers
        )
        self.proposer = self.proposer.with_prompts(place)
        self.judge = self.judge.with_prompts(place)
        return self

    @property
    def llms(self) -> tuple[Labeler, ...]:
        """The labelers that are LLMs."""
        return tuple(each for each in self.labelers if isinstance(each, Labeler))

    @property
    def estimators(self) -> tuple[EstimatorLabeler, ...]:
        """The labelers that are estimators."""
        return tuple(each for each in self.labelers if isinstance(each, EstimatorLabeler))

    def check_labelers(self) -> None:
        """Raise `InputError` without labelers, or if one has no endpoint, before a stage that needs them starts."""
        if not self.labelers:
            raise InputError("labelers is empty: name at least one labeler in odds.toml")
        for labeler in self.llms:
            self.endpoint_of(labeler)

    def endpoint_of(self, config: ModelConfig) -> Endpoint:
        """Return the endpoint that a labeler, the proposer or the judge asks.

        Raises:
            InputError: it is the embedded one, as by default, but the settings have only others.
        """
        found = next((each for each in self.endpoints if each.name == config.endpoint), None)
        if found is None:
            section = {Proposer: "[proposer]", Judge: "[judge]"}.get(type(config), "[[labelers]]")
            raise InputError(
                f"{config.name} asks the endpoint {config.endpoint}, which odds.toml does not have: set endpoint and "
                f'model under {section}, or add [[endpoints]] with name = "{EMBEDDED}" and base_url = "{EMBEDDED}"'
            )
        return found

    @property
    def ledger_path(self) -> Path | str:
        """The ledger: the path of an SQLite file, or a PostgreSQL connection string."""
        return self._place(self.ledger, "ledger.sqlite")

    def path(self, path: Path | str) -> Path:
        """Resolve a path of the settings file, which is relative to its folder."""
        return (self.root / Path(path).expanduser()).resolve()

    @property
    def home_path(self) -> Path:
        """The folder that holds everything the product writes by default."""
        return self.path(self.home)

    @property
    def catalog(self) -> str:
        """The DuckLake catalog: the path of an SQLite file, or a `postgres:` connection string."""
        return str(self._place(self.warehouse.catalog, "warehouse/catalog.sqlite"))

    @property
    def data_path(self) -> str:
        """Where the parquet files of the warehouse are: a folder, or an `s3://` address."""
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
    refuse_unknown_variables(Settings.model_fields)
    if "root" in table:
        raise InputError(f"{path}: root cannot be set: paths are relative to the folder of the file")
    try:
        return Settings(root=path.resolve().parent, **table)
    except ValidationError as error:
        raise InputError(first_problem(path, error)) from error
    except SettingsError as error:
        raise InputError(no_json(str(error))) from None
