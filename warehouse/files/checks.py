"""Reading checks: propositions whose probability is known to lie in a band."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast, get_args

from warehouse import records
from warehouse.files.columns import distinct, numbers
from warehouse.files.header import Wanted, named
from warehouse.files.reading import AS_FOUND, Reading, TextColumns, read_columns
from warehouse.files.texts import proposition_of
from warehouse.records import DEFAULT_SHARES, Check, CheckPurpose, Premise, Proposition, SplitShares

CHECK_FIELDS = {
    "premise": Wanted(("premise",), True, "text"),
    "hypothesis": Wanted(("hypothesis",), True, "text"),
    "low": Wanted(("low",), True),
    "high": Wanted(("high",), True),
    "purpose": Wanted(("purpose",), kind="id"),
}


@dataclass(frozen=True)
class CheckBatch:
    """Checks with their premises and propositions; `said` is what was detected in the file."""

    checks: list[Check] = field(default_factory=list)
    premises: list[Premise] = field(default_factory=list)
    propositions: list[Proposition] = field(default_factory=list)
    said: list[str] = field(default_factory=list)


def read_checks(
    path: Path,
    *,
    purpose: CheckPurpose = "attention",
    scale: tuple[float, float] = (0.0, 1.0),
    columns: Mapping[str, str | None] | None = None,
    split_shares: SplitShares = DEFAULT_SHARES,
    reading: Reading = AS_FOUND,
) -> CheckBatch:
    """Read the checks of a file: columns `premise`, `hypothesis`, `low`, `high` (on `scale`), optionally `purpose`.

    A proposition is one check at most, so that a later file can change its band. The target probability of the
    proposition is the middle of the band, around which simulated annotators answer.

    Raises:
        InputError: The file cannot be read, a band is empty or reversed, a purpose is unknown, or a proposition occurs
            twice.
    """
    read = read_columns(path, named(CHECK_FIELDS, columns or {}), reading)
    premises, hypotheses = distinct(read, "premise"), distinct(read, "hypothesis")
    ends = [numbers(read, name, scale).to_pylist() for name in ("low", "high")]
    batch = CheckBatch(said=read.said)
    seen: set[str] = set()
    for index, (premise, hypothesis) in enumerate(zip(premises.codes, hypotheses.codes, strict=True)):
        text, statement = premises.values[premise], hypotheses.values[hypothesis]
        low, high = (_on_scale(read, index, name, ends[end][index], scale) for end, name in enumerate(("low", "high")))
        if low > high:
            raise read.error(index, "low", "above high; exchange them")
        home = Premise(premise_id=records.premise_id(text), text=text, source=path.stem)
        split = records.split_of(home.premise_id, *split_shares)
        proposition = proposition_of(home, statement, split, target=(low + high) / 2)
        name = proposition.proposition_id
        if name in seen:
            raise read.error(index, "hypothesis", "the proposition occurs twice; keep one row")
        seen.add(name)
        batch.premises.append(home)
        batch.propositions.append(proposition)
        batch.checks.append(
            Check(
                check_id=records.content_id("check", name),
                proposition_id=name,
                low=low,
                high=high,
                purpose=_purpose(read, index, purpose),
            )
        )
    return batch


def _on_scale(read: TextColumns, index: int, name: str, value: float | None, scale: tuple[float, float]) -> float:
    if value is None:
        raise read.error(index, name, "empty; fill it in")
    return (value - scale[0]) / (scale[1] - scale[0])


def _purpose(read: TextColumns, index: int, default: CheckPurpose) -> CheckPurpose:
    value = read.value(index, "purpose")
    if value is not None and value not in get_args(CheckPurpose):
        raise read.error(index, "purpose", f"{value!r} is unknown; use practice, qualification or attention")
    return cast("CheckPurpose", value or default)
