"""The plan of an ablation: a file of the settings that all variants share, the variants, and the seeds."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from flows.settings.errors import first_problem
from flows.settings.sections import PublishSettings, TrainingSettings
from flows.settings.settings import Settings
from warehouse.errors import InputError

DEFAULT = "default"
"""The name of the first variant: the settings that all share."""
NOT_VARIED: Mapping[str, str] = {
    "training.seed": "seeds has them",
    "training.epochs": "all variants have one budget; set it in [base]",
    "training.max_steps": "all variants have one budget; set it in [base]",
    "training.max_minutes": "all variants have one budget; set it in [base]",
    "training.recalibrate": "its map is fitted on the dev split, which an ablation measures on",
}
"""Settings that a variant cannot change, and why."""
WEIGHTS = ("human_weight", "synthetic_weight", "pairs_weight", "source_weights")
"""The settings of the section publish that can change: others move propositions to other splits."""

Changes = Mapping[str, Any]
"""Values by the name of the setting, such as training.target."""
Name = Annotated[str, Field(pattern=r"^[\w.+=, -]{1,60}$")]


@dataclass(frozen=True)
class Variant:
    """A variant: what differs from the settings that all share, and the settings that result.

    Attributes:
        name: Its name.
        changes: The changes by the name of the setting.
        training: How to fit it; the seed is that of the settings.
        weights: The weights of the parts of its training set, where they are not those of the published one.
    """

    name: str
    changes: Changes
    training: TrainingSettings
    weights: Changes

    @property
    def told(self) -> str:
        """The changes as JSON."""
        return json.dumps(dict(self.changes))


@dataclass(frozen=True)
class Plan:
    """An ablation: its name, its variants, of which the first is the default, and the seeds of each.

    At most `items` items of each set are measured; all if it is None.
    """

    name: str
    variants: tuple[Variant, ...]
    seeds: tuple[int, ...]
    items: int | None


class _Sections(BaseModel):
    """Values of settings, by section."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    training: dict[str, Any] = Field(default_factory=dict)
    publish: dict[str, Any] = Field(default_factory=dict)

    @property
    def changes(self) -> dict[str, Any]:
        sections = {"training": self.training, "publish": self.publish}
        return {f"{section}.{name}": value for section, some in sections.items() for name, value in some.items()}


class _Checked(BaseModel):
    """The sections of a variant with all their settings."""

    training: TrainingSettings
    publish: PublishSettings


class _Named(_Sections):
    """A variant as the file has it."""

    name: Name


class _File(BaseModel):
    """A plan as the file has it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name | None = None
    seeds: Annotated[tuple[Annotated[int, Field(ge=0, lt=2**32)], ...], Field(min_length=1)] = (0,)
    items: Annotated[int, Field(ge=20)] | None = None
    base: _Sections = _Sections()
    variants: tuple[_Named, ...] = ()
    grid: _Sections = _Sections()


def read_plan(path: Path, settings: Settings) -> Plan:
    """Return the ablation in a file.

    Its variants are the settings with those of `[base]`, then those of `[[variants]]`, then all combinations of the
    lists in `[grid]`.

    Raises:
        InputError: there is no such file, it is not TOML, or has an unknown key or a value that a setting cannot have.
    """
    file = _read(path)
    if repeated := {seed for seed in file.seeds if file.seeds.count(seed) > 1}:
        raise InputError(f"{path}: seeds: {min(repeated)} occurs twice; give each seed once")
    start = _Start(path, file.base.changes, settings)
    variants = [start.variant("base", DEFAULT, {})]
    for place, each in enumerate(file.variants):
        _add(path, variants, start.variant(f"variants.{place}", each.name, each.changes))
    for name, changes in _combinations(path, file.grid):
        made = start.variant("grid", name, changes)
        if _same(variants, made) is None:  # one combination may be the default
            variants.append(made)
    if len(variants) < 2:
        raise InputError(f"{path}: there is nothing to compare; add [[variants]] with a name, or lists under [grid]")
    return Plan(file.name or path.stem, tuple(variants), file.seeds, file.items)


@dataclass(frozen=True)
class _Start:
    """What all variants of a file start from."""

    path: Path
    base: Changes
    settings: Settings

    def variant(self, where: str, name: str, changes: Changes) -> Variant:
        """Return a variant. Raises `InputError` if a setting cannot be changed, or not to this value."""
        whole = {**self.base, **changes}
        for setting in (*changes, *(whole.keys() & {"training.seed", "training.recalibrate"})):
            if setting in NOT_VARIED:
                raise InputError(f"{self.path}: {where}: {setting} cannot vary: {NOT_VARIED[setting]}")
        own, weights = _section(whole, "training"), _section(whole, "publish")
        if others := sorted(weights.keys() - set(WEIGHTS)):
            can = ", ".join(WEIGHTS)
            raise InputError(f"{self.path}: {where}: publish.{others[0]} cannot vary; of publish, {can} can")
        training = self.settings.training.model_dump(exclude_unset=True) | own | {"recalibrate": "none"}
        publish = self.settings.publish.model_dump()
        weights = {name: value for name, value in weights.items() if value != publish[name]}
        publish |= weights
        try:
            found = _Checked.model_validate({"training": training, "publish": publish})
        except ValidationError as error:
            raise InputError(first_problem(Path(f"{self.path}: {where}"), error)) from error
        return Variant(name, changes, found.training, weights)


def _section(changes: Changes, section: str) -> dict[str, Any]:
    """Return the changes of a section by the names that they have there."""
    split = {tuple(each.split(".", 1)): value for each, value in changes.items()}
    return {name: value for (at, name), value in split.items() if at == section}


def _add(path: Path, variants: list[Variant], new: Variant) -> None:
    """Add a variant. Raises `InputError` if it is the same as another, or has its name."""
    if any(each.name == new.name for each in variants):
        raise InputError(f"{path}: two variants are named {new.name}; {DEFAULT} is the name of the first one")
    if (same := _same(variants, new)) is not None:
        raise InputError(f"{path}: {new.name} is the same as {same.name}; remove it")
    variants.append(new)


def _same(variants: list[Variant], new: Variant) -> Variant | None:
    return next((each for each in variants if (each.training, each.weights) == (new.training, new.weights)), None)


def _read(path: Path) -> _File:
    try:
        return _File.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise InputError(f"{path}: no such plan; docs/ablation.md has an example") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid TOML: {error}") from error
    except ValidationError as error:
        raise InputError(first_problem(path, error)) from error


def _combinations(path: Path, grid: _Sections) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name and the changes of every combination of the lists of a grid."""
    for setting, values in grid.changes.items():
        if not isinstance(values, list) or not values:
            raise InputError(f"{path}: grid: {setting} must be a list of values, such as [1, 2]")
    for values in product(*grid.changes.values()) if grid.changes else ():
        changes = dict(zip(grid.changes, values, strict=True))
        yield ", ".join(f"{setting.partition('.')[2]}={value}" for setting, value in changes.items()), changes
