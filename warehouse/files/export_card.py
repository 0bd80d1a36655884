"""The card of an exported dataset folder: the origin and meaning of its rows, and how many are simulated."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from warehouse.catalog.opened import ALIAS, Warehouse
from warehouse.files.markdown import code, fenced, plain
from warehouse.queries.stages import TableDescription
from warehouse.shards import CARD, HUB_SPLITS

MARK = "odds_export: 1"  # marks our exports, so that no other folder is ever replaced
KIND_COLUMNS = ("kind", "annotator_kind")


@dataclass(frozen=True)
class Provenance:
    """The state of the warehouse that was exported: snapshot, judgments, and premises by licence."""

    snapshot_id: int
    snapshot_time: datetime
    n_judgments: int
    n_simulated: int
    licenses: dict[str, int]


@dataclass(frozen=True)
class CardFacts:
    """The contents of a card. `splits` has the rows by split, `tables` all tables and views."""

    title: str
    query: str
    provenance: Provenance
    exported_at: datetime
    splits: Mapping[str, int]
    schema: pa.Schema
    tables: Mapping[str, TableDescription]


@dataclass
class Tally:
    """Counts rows while they are written, and those marked as simulated.

    `marks` counts, by column, the rows with `is_simulated`, with `n_simulated` above 0, or of kind simulated.
    """

    rows: int
    marks: dict[str, int]

    @staticmethod
    def of(schema: pa.Schema) -> Tally:
        """Return an empty tally for rows with these columns."""
        marks = {}
        for field in schema:
            fits = (
                (field.name == "is_simulated" and pa.types.is_boolean(field.type))
                or (
                    field.name == "n_simulated" and (pa.types.is_integer(field.type) or pa.types.is_decimal(field.type))
                )
                or (field.name in KIND_COLUMNS and pa.types.is_string(field.type))
            )
            if fits:
                marks[field.name] = 0
        return Tally(0, marks)

    def add(self, batch: pa.RecordBatch) -> None:
        """Count the rows of a batch."""
        self.rows += batch.num_rows
        for name in self.marks:
            column = batch.column(name)
            if name == "is_simulated":
                marked = column
            elif name == "n_simulated":
                marked = pc.greater(column.cast(pa.float64()), 0.0)
            else:
                marked = pc.equal(column, "simulated")
            self.marks[name] += pc.sum(marked).as_py() or 0


def provenance_of(warehouse: Warehouse) -> Provenance:
    """Return the state of the warehouse that its queries see."""
    snapshot = warehouse.snapshot_id()
    query = f"SELECT snapshot_time FROM ducklake_snapshots('{ALIAS}') WHERE snapshot_id = ?"
    ((n_judgments, n_simulated),) = warehouse.rows(
        "SELECT count(*), count(*) FILTER (a.kind = 'simulated') "
        "FROM judgments j LEFT JOIN annotators a ON a.annotator_id = j.annotator_id WHERE j.deleted_at IS NULL"
    )
    licences = "SELECT coalesce(license, 'unknown'), count(*) FROM premises GROUP BY ALL ORDER BY ALL"
    return Provenance(
        snapshot_id=snapshot,
        snapshot_time=warehouse.value(query, [snapshot]),
        n_judgments=n_judgments,
        n_simulated=n_simulated,
        licenses=dict(warehouse.rows(licences)),
    )


def is_export(folder: Path) -> bool:
    """Return whether the folder is an export, by the mark in its card."""
    try:
        return MARK in (folder / CARD).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return False


def card_text(facts: CardFacts, tally: Tally) -> str:
    """Return the card: YAML for `datasets`, then Markdown for people."""
    provenance = facts.provenance
    hub = {name: HUB_SPLITS.get(name, name) for name in facts.splits}
    files = "\n".join(f"  - split: {there}\n    path: data/{name}-*.parquet" for name, there in hub.items())
    splits = "\n".join(f"| `{hub[name]}` | {rows:,} |" for name, rows in facts.splits.items())
    return f"""---
pretty_name: {json.dumps(facts.title, ensure_ascii=False)}
{MARK}
configs:
- config_name: default
  data_files:
{files}
---

# {plain(facts.title)}

Exported from an Odds warehouse: fine-grained probability judgments. All probabilities are in [0, 1].

| what | value |
|---|---|
| rows | {tally.rows:,} |
| snapshot of the warehouse | {provenance.snapshot_id}, of {_shown(provenance.snapshot_time)} |
| exported | {_shown(facts.exported_at)}, by odds {version("odds")} |

## How much is simulated

{_simulated(facts, tally)}

## The query

{fenced(facts.query, "sql")}

## Columns

| column | type | meaning |
|---|---|---|
{_columns(facts)}

## Files

Open this folder with `datasets.load_dataset`, or the files in `data/` with anything that reads parquet.

| split | rows |
|---|---|
{splits}

{_about_splits(facts)}

## Licence

The premises of the warehouse carry these licences: {_licenses(provenance)}. Whoever passes this folder on keeps to
them.
"""


def _shown(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"


def _simulated(facts: CardFacts, tally: Tally) -> str:
    says = {
        "is_simulated": "come from simulated annotators",
        "n_simulated": "are based on judgments of simulated annotators",
    }
    lines = [
        f"- {count:,} of {tally.rows:,} rows {says.get(name, 'are of simulated annotators')} (column `{name}`)."
        for name, count in tally.marks.items()
        if count or name in says  # other things than annotators have kinds, too
    ]
    if not lines:
        lines = ["- No column of these rows tells."]
    provenance = facts.provenance
    share = f"{provenance.n_simulated:,} of {provenance.n_judgments:,} judgments"
    whole = f"- In the whole warehouse {share} come from simulated annotators"
    if provenance.n_simulated:
        return "\n".join([*lines, f"{whole}: **results based on them say nothing about how people judge**."])
    return "\n".join([*lines, f"{whole}."])


def _columns(facts: CardFacts) -> str:
    if facts.title in facts.tables:
        meanings = {column.name: column.comment for column in facts.tables[facts.title].columns}
        return _rows(facts.schema, meanings)
    used = {word.lower() for word in re.findall(r"\w+", facts.query)}
    tables = [one for name, one in facts.tables.items() if name in used]
    return _rows(facts.schema, {name: _meaning(name, tables) for name in facts.schema.names})


def _rows(schema: pa.Schema, meanings: Mapping[str, str]) -> str:
    escaped = {name: " ".join(meaning.replace("|", "&#124;").split()) for name, meaning in meanings.items()}
    return "\n".join(
        f"| {code(field.name)} | {plain(str(field.type))} | {escaped.get(field.name, '')} |" for field in schema
    )


def _meaning(name: str, tables: list[TableDescription]) -> str:
    """The meaning of a column by this name in the tables of the query, naming these tables."""
    found: dict[str, list[str]] = {}
    for table in tables:
        for column in table.columns:
            if column.name == name and column.comment:
                found.setdefault(column.comment, []).append(table.name)
    if not found:
        return "Computed by the query."
    return " ".join(f"As in {', '.join(f'`{one}`' for one in names)}: {comment}" for comment, names in found.items())


def _about_splits(facts: CardFacts) -> str:
    if "split" in facts.schema.names:
        text = "Rows are divided by their column `split`"
        return (
            f"{text}; `other` has those with any other value than train, dev and test."
            if "other" in facts.splits
            else f"{text}."
        )
    return "The rows are not divided; `datasets` just calls undivided data `train`."


def _licenses(provenance: Provenance) -> str:
    return (
        ", ".join(f"{plain(name)} ({n:,} premises)" for name, n in provenance.licenses.items())
        or "there are no premises"
    )
