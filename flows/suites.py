"""Import: an evaluation set from a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

from flows.imports import ends_of, mapping_of, pairs
from flows.settings.sections import SuiteSettings
from flows.settings.settings import Config, Settings, load_settings
from flows.stages.outcome import Outcome
from flows.stages.services import writing
from warehouse.catalog.store import merge_all, read
from warehouse.datasets.groups import renew_groups
from warehouse.errors import InputError
from warehouse.files.choices import FIELDS as CHOICE_FIELDS
from warehouse.files.choices import read_choices
from warehouse.files.coherence import COHERENCE_FIELDS, read_coherence
from warehouse.files.imports import read_judgments
from warehouse.files.known import (
    ChoiceFormat,
    CoherenceFormat,
    JudgmentFormat,
    PropositionFormat,
    StructureFormat,
    SuiteFormat,
)
from warehouse.files.reading import AS_FOUND, Reading
from warehouse.files.structures import STRUCTURE_FIELDS, read_structures
from warehouse.files.suites import Batch, suite_of
from warehouse.files.texts import PROPOSITION_FIELDS, read_propositions
from warehouse.records import Family, Suite

FAMILIES: Mapping[str, Family] = {
    **dict.fromkeys(get_args(JudgmentFormat), "correlation"),
    **dict.fromkeys(get_args(PropositionFormat), "update"),
    **dict.fromkeys(get_args(ChoiceFormat), "choice"),
    **dict.fromkeys(get_args(StructureFormat), "structure"),
    **dict.fromkeys(get_args(CoherenceFormat), "coherence"),
}
USED: Mapping[Family, tuple[str, ...]] = {
    "correlation": ("scale", "ordinal", "values", "counts", "aggregated"),
    "update": ("scale",),
    "choice": ("first",),
}
"""The options of `import_suite` about numbers that a family uses."""
PLAIN = ("correlation", "update", "choice")
"""The families that a plain file can have."""
TAKEN = ("consensus", "coherence", "dev", "all")
"""Names with a meaning of their own: what is measured on the test split or the dev split, and all suites."""


def import_suite(
    file: Path | str,
    name: str,
    *,
    config: Config = None,
    format_: SuiteFormat = "plain",
    family: Family | None = None,
    columns: Sequence[str] = (),
    scale: str | None = None,
    ordinal: str | None = None,
    values: str | None = None,
    counts: str | None = None,
    aggregated: bool = False,
    first: int = 0,
    license_: str | None = None,
    reading: Reading = AS_FOUND,
) -> Outcome:
    """Import an evaluation set. Its premises, and what is much like them, are held out of training from then on.

    Args:
        file: The file.
        name: The name of the suite. A suite never changes under its name.
        config: The settings, or the file to read them from.
        format_: A named format, which implies the family.
        family: The family of a plain file: correlation, update or choice.
        columns: Pairs of `FIELD=COLUMN`, as for the import of judgments, propositions or choices.
        scale: As for judgments.
        ordinal: As for judgments.
        values: As for judgments.
        counts: As for judgments.
        aggregated: Each label stands for several people, so there are no annotators.
        first: The number of the first alternative in the column answer.
        license_: The licence of the texts.
        reading: How to read the file where that should not be detected.

    Raises:
        InputError: the file cannot be read as such a suite, or another suite has the name, or the name is taken or
            empty.
    """
    settings, file = load_settings(config), Path(file)
    if not name.strip():
        raise InputError("a suite needs a name, and this one is empty")
    if name in TAKEN:
        raise InputError(f"a suite cannot be called {name}, which stands for something else; choose another name")
    family = _family(format_, family)
    numeric: dict[str, object] = {"scale": scale, "ordinal": ordinal, "values": values, "counts": counts}
    numeric |= {"aggregated": aggregated or None, "first": first or None}
    if unused := sorted({each for each, value in numeric.items() if value is not None} - {*USED.get(family, ())}):
        raise InputError(f"--{unused[0]} means nothing for a suite of {family}; leave it out")
    batch: Batch
    if family == "correlation":
        kind = "aggregate" if aggregated else None
        mapping = mapping_of(
            columns, scale, ordinal=ordinal, values=values, counts=counts, format=format_, annotator_kind=kind
        )
        batch = read_judgments(file, mapping, reading=reading)
    elif family == "update":
        given = pairs(columns, PROPOSITION_FIELDS)
        batch = read_propositions(
            file, columns=given, scale=ends_of(scale or "0:1"), format_=format_, reading=reading  # type: ignore[arg-type]
        )  # fmt: skip
    elif family == "structure":
        given = pairs(columns, STRUCTURE_FIELDS[format_])  # type: ignore[index]
        batch = read_structures(file, columns=given, format_=format_, reading=reading)  # type: ignore[arg-type]
    elif family == "coherence":
        batch = read_coherence(file, columns=pairs(columns, COHERENCE_FIELDS), reading=reading)
    else:
        given = pairs(columns, CHOICE_FIELDS)
        batch = read_choices(file, columns=given, first=first, format_=format_, reading=reading)  # type: ignore[arg-type]
    made = suite_of(batch, name, file.name, license_)
    suite = made.suite.model_copy(update={"format": format_})
    with writing(settings) as warehouse:
        before = read(warehouse, Suite, "name = ?", [name])
        if before and before[0].content != made.suite.content:
            raise InputError(
                f"suite {name} exists with other items, from {before[0].file}; give this one another name, since "
                "figures on both could not be told apart"
            )
        merged = merge_all(warehouse, [[suite], made.items, made.stated, made.drops])
        if merged["suite_items"].changed:
            renew_groups(warehouse, settings.publish.near_duplicates)
    counts_ = {"items": made.suite.n_items, "propositions": len(made.items), "new": merged["suite_items"].inserted}
    said = [f"suite {name}, family {family}", *made.said]
    return Outcome(stage="import suite", counts=counts_ | {"dropped": len(made.drops)}, note="; ".join(said))


def import_named(settings: Settings) -> list[Outcome]:
    """Import the suites that the settings name. One that is there stays as it is, and does not need its file any more.

    Raises:
        InputError: a file is missing or cannot be read, or it has changed since its suite was imported.
    """
    if not settings.suites:
        return []
    with writing(settings) as warehouse:  # also updates an older catalog
        there = {suite.name for suite in read(warehouse, Suite)}
    wanted = (each for each in settings.suites if each.name not in there or settings.path(each.file).exists())
    return [_import_named(settings, each) for each in wanted]


def _import_named(settings: Settings, suite: SuiteSettings) -> Outcome:
    try:
        return import_suite(
            settings.path(suite.file),
            suite.name,
            config=settings,
            format_=suite.format,
            family=suite.family,
            columns=[f"{name}={column}" for name, column in suite.columns.items()],
            scale=suite.scale,
            ordinal=suite.ordinal,
            values=suite.values,
            counts=suite.counts,
            aggregated=suite.aggregated,
            first=suite.first,
            license_=suite.license,
        )
    except InputError as error:  # which speaks of the options of the command
        raise InputError(f"the suite {suite.name} of the settings: {error}") from error


def _family(format_: SuiteFormat, family: Family | None) -> Family:
    if format_ != "plain":
        known = FAMILIES[format_]
        if family not in (None, known):
            raise InputError(f"--family {family} does not fit --format {format_}, which makes a suite of {known}")
        return known
    if family not in PLAIN:
        raise InputError("a plain file needs --family correlation, update or choice")
    return family
