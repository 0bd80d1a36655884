"""The services that flows use, opened from the settings: the warehouse, the ledger, the LLM endpoints."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from flows.settings.settings import Settings
from flows.terminal.console import note
from synthesis.ledger.ledger import Ledger
from synthesis.llm.embedded import serve, weights_path
from synthesis.panel.settings import EMBEDDED, Endpoint
from training.embedded import CARRIED, encoder_path, levels_of, pretrained_path
from warehouse.catalog.connect import At, Warehouse, open_warehouse
from warehouse.catalog.low_memory import seldom_collected, sparing, without_pandas
from warehouse.errors import InputError
from warehouse.places import placed
from warehouse.queries.stages import consensus_splits
from warehouse.records import Model

if TYPE_CHECKING:
    from training import Estimator


def has_warehouse(settings: Settings) -> bool:
    """Return whether there is a warehouse; on PostgreSQL, only opening it tells."""
    return settings.catalog.startswith("postgres:") or Path(settings.catalog).exists()


@contextmanager
def reading(settings: Settings, at: At = "opened", allow: Sequence[Path] = ()) -> Iterator[Warehouse]:
    """Open the warehouse read-only. Every query sees one snapshot: that of now, or the one at `at`.

    Queries can read no other files than those in `allow`.
    """
    memory = settings.warehouse.memory_limit
    with open_warehouse(settings.catalog, settings.data_path, at=at, memory_limit=memory, allow=allow) as warehouse:
        yield replace(warehouse, home=settings.home_path)


@contextmanager
def writing(settings: Settings) -> Iterator[Warehouse]:
    """Open the warehouse for reading and writing. It is created, or migrated with a note of what moved, if needed."""
    memory = settings.warehouse.memory_limit
    with open_warehouse(settings.catalog, settings.data_path, read_only=False, memory_limit=memory) as warehouse:
        for line in warehouse.said:
            print(line, file=sys.stderr, flush=True)
        yield replace(warehouse, home=settings.home_path)


@contextmanager
def writing_for_llm_run(settings: Settings) -> Iterator[Warehouse]:
    """Open the warehouse for a run that asks models, maybe for hours, with little memory."""
    with without_pandas(), writing(settings) as warehouse, sparing(warehouse), seldom_collected():
        yield warehouse


@contextmanager
def running_endpoints(settings: Settings, names: Collection[str]) -> Iterator[tuple[Endpoint, ...]]:
    """Yield the named endpoints with real addresses; the embedded server runs only during the block."""
    wanted = tuple(endpoint for endpoint in settings.endpoints if endpoint.name in names)
    if all(endpoint.base_url != EMBEDDED for endpoint in wanted):
        yield wanted
        return
    parallel = max(endpoint.max_in_flight for endpoint in wanted if endpoint.base_url == EMBEDDED)
    with serve(parallel=parallel) as address:
        yield tuple(
            endpoint.model_copy(update={"base_url": address}) if endpoint.base_url == EMBEDDED else endpoint
            for endpoint in wanted
        )


def ledger(settings: Settings) -> Ledger:
    """Open the ledger of LLM requests and replies."""
    return Ledger.open(settings.ledger_path)


def estimator_base(settings: Settings) -> str:
    """Return the base of the estimator: an embedded model, an estimator that Odds carries, or what the settings name.

    Raises:
        InputError: the package with the embedded weights is not installed, or the base does not fit training.kind.
    """
    base = settings.training.base
    if base in CARRIED:
        if settings.training.kind != "encoder":
            raise InputError(f'training.base = "{base}" is an encoder: set training.kind to "encoder"')
        if (levels := levels_of(base)) != settings.training.levels:
            raise InputError(
                f'training.base = "{base}" has {levels} levels: set training.levels to {levels}, or training.base to '
                f'"{EMBEDDED}"'
            )
        return str(pretrained_path(base))
    if base == EMBEDDED:
        return str(encoder_path() if settings.training.kind == "encoder" else weights_path())
    local = settings.path(base)
    return str(local) if local.exists() else base


def estimator_teacher(settings: Settings) -> str | None:
    """Return the folder of the estimator that a fit learns from, if the settings name one.

    Raises:
        InputError: it is neither an estimator that Odds carries nor the folder of one.
    """
    teacher = settings.training.teacher
    if teacher is None or teacher in CARRIED:
        return teacher and str(pretrained_path(teacher))
    folder = settings.path(teacher)
    if not folder.is_dir():
        raise InputError(
            f'training.teacher = "{teacher}" is not the folder of an estimator; name one, or {" or ".join(CARRIED)}'
        )
    return str(folder)


def known_bases(settings: Settings) -> list[str]:
    """Return where the base of an estimator may be if it has moved."""
    found: list[str] = []
    with suppress(InputError):  # an estimator with whole weights needs none
        found.append(estimator_base(settings))
    with suppress(InputError):
        found.append(str(weights_path()))
    return found


def load_estimator(settings: Settings, model: Model, stage: str) -> Estimator:
    """Load an estimator to score with, on the device and in the precision of the settings.

    A stage notes a warning about the device, if there is one.

    Raises:
        InputError: its base is gone.
    """
    from training import Estimator

    folder, chosen = placed(model.path, settings.home_path), settings.training
    estimator = Estimator.load(folder, chosen.device, chosen.precision, bases=known_bases(settings))
    if estimator.place.warning:
        note(f"{stage}: {estimator.place.warning}")
    return estimator


def shown_catalog(settings: Settings) -> str:
    """Return the catalog for display; a connection string may hold a password, so it is hidden."""
    return "PostgreSQL" if settings.catalog.startswith("postgres:") else settings.catalog


def report_path(settings: Settings, model_id: str) -> Path:
    """Return where the report on an estimator is, or will be."""
    return settings.home_path / "reports" / f"{model_id}.html"


def code_version() -> str:
    """Return the version of Odds."""
    return version("odds")


def judged_splits(settings: Settings) -> dict[str, int]:
    """Return how many propositions of each split have a consensus."""
    with reading(settings) as warehouse:
        return consensus_splits(warehouse, settings.agreement.consensus)
