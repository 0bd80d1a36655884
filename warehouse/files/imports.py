"""Reading judgments, with their premises, propositions and annotators, from a file: all of it or nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from warehouse import records
from warehouse.catalog.schema import arrow_schema, to_table
from warehouse.errors import InputError
from warehouse.files.answers import Answers, answers_of
from warehouse.files.columns import Distinct, booleans, distinct, seconds, texts
from warehouse.files.judgment_columns import JudgmentMapping, judgment_columns
from warehouse.files.reading import AS_FOUND, Reading, TextColumns
from warehouse.files.stated import Stated, stated_in
from warehouse.files.texts import PropositionBatch
from warehouse.files.times import times
from warehouse.records import (
    DEFAULT_SHARES,
    LEAD_TIME_LIMIT_S,
    Annotator,
    Drop,
    Judgment,
    Premise,
    Proposition,
    Split,
    SplitShares,
    StatedSplit,
)

REJECTED = "rejected"
USUAL_STATUSES = {REJECTED, "submitted", "approved"}


@dataclass(frozen=True)
class JudgmentBatch:
    """Judgments with their propositions and annotators, as Arrow rows of their records.

    `stated` are the splits that the file states, `drops` rows that were left out, `bounds` single values that were, and
    `said` is what was detected in the file.
    """

    premises: pa.Table
    propositions: pa.Table
    annotators: pa.Table
    judgments: pa.Table
    stated: list[StatedSplit]
    drops: list[Drop]
    bounds: list[Drop]
    said: list[str]


def read_judgments(
    path: Path,
    mapping: JudgmentMapping | None = None,
    source: str | None = None,
    *,
    split_shares: SplitShares = DEFAULT_SHARES,
    split: Split | None = None,
    reading: Reading = AS_FOUND,
) -> JudgmentBatch:
    """Read the judgments of a file, with their premises, propositions and annotators.

    `source` names the origin of the file and is part of the ids of its annotators and judgments. If a file grows,
    import it again under the same source, and only new rows are added. By default it is the file name without its
    extension. `split` is the split that is stated for all premises of the file, in place of a column.

    Where nobody knows the annotators (kind aggregate or anonymous), the nth rating of a proposition counts as that of
    the nth stand-in.

    Raises:
        InputError: Something is wrong with the file; the message names file, row, column and what to do.
    """
    mapping = mapping or JudgmentMapping()
    read = judgment_columns(path, mapping, reading)
    origin = source or path.stem
    premises, hypotheses = distinct(read, "premise"), distinct(read, "hypothesis")
    stated = stated_in(read, premises, split)
    propositions, rows = _propositions(premises, hypotheses, origin, stated, split_shares)
    answers = answers_of(read, mapping)
    annotators = _annotators(read, mapping, propositions, answers)
    groups = _groups(read, annotators)
    annotator_rows = [
        Annotator(
            annotator_id=records.annotator_id(origin, one),
            kind=mapping.kind,
            source=origin,
            source_id=one,
            pseudonym=one,
            annotator_group=groups.get(one),
        )
        for one in annotators.values
    ]
    judgments = _judgment_rows(read, answers, origin, propositions, annotators)
    kept, drops = _without_unanswered(read, answers, judgments)
    kept, bounds = _bounded(kept)
    people = to_table(Annotator, annotator_rows)
    said = [*read.said, *_said_of_statuses(kept), *(_said_of_repeats(kept) if mapping.has_annotators else [])]
    return JudgmentBatch(
        rows.premises, rows.propositions, people, kept, stated.rows(path.name, origin), drops, bounds, said
    )


def _annotators(read: TextColumns, mapping: JudgmentMapping, propositions: Distinct, answers: Answers) -> Distinct:
    """The annotator of each rating; if they are unknown, stand-ins that are numbered within each proposition."""
    if mapping.has_annotators:
        found = distinct(read, "annotator")
        return Distinct(found.values, found.codes[answers.rows])
    numbers_within = _ordinals(propositions.codes[answers.rows])
    noun = "label" if mapping.kind == "aggregate" else "response"
    return Distinct([f"{noun} {number + 1}" for number in range(int(numbers_within.max()) + 1)], numbers_within)


def _groups(read: TextColumns, annotators: Distinct) -> dict[str, str]:
    """The group of each annotator that has one. Raises `InputError` if an annotator has two."""
    if "group" not in read.columns:
        return {}
    given = read.columns["group"].dictionary_encode()
    names = given.dictionary.to_pylist()
    codes = given.indices.fill_null(-1).to_numpy().astype(np.int64)
    _, rows = np.unique(annotators.codes * (len(names) + 1) + codes, return_index=True)
    groups: dict[str, str] = {}
    for row in np.sort(rows[codes[rows] >= 0]).tolist():
        annotator, group = annotators.values[annotators.codes[row]], names[codes[row]]
        if groups.setdefault(annotator, group) != group:
            raise read.error(
                row, "group", f"{annotator!r} is in {groups[annotator]!r} above; an annotator can only have one group"
            )
    return groups


def _propositions(
    premises: Distinct, hypotheses: Distinct, source: str, stated: Stated, shares: SplitShares
) -> tuple[Distinct, PropositionBatch]:
    """The distinct propositions of the rows by id, and their records. Each distinct pair of texts is hashed once."""
    premise_ids = [records.premise_id(text) for text in premises.values]
    pairs, codes = np.unique(premises.codes * len(hypotheses.values) + hypotheses.codes, return_inverse=True)
    premise_rows: dict[str, Premise] = {}
    rows: dict[str, Proposition] = {}
    ids = []
    for pair in pairs:
        premise_code, hypothesis_code = divmod(int(pair), len(hypotheses.values))
        text, hypothesis = premises.values[premise_code], hypotheses.values[hypothesis_code]
        premise, key = premise_ids[premise_code], records.proposition_id(text, hypothesis)
        ids.append(key)
        if premise not in premise_rows:
            premise_rows[premise] = Premise(premise_id=premise, text=text, source=source)
        if key not in rows:
            rows[key] = Proposition(
                proposition_id=key,
                premise_id=premise,
                hypothesis=hypothesis,
                kind="imported",
                source=source,
                split=stated.of(premise, shares),
            )
    batch = PropositionBatch(to_table(Premise, premise_rows.values()), to_table(Proposition, rows.values()))
    return _merged_codes(ids, codes), batch


def _merged_codes(ids: list[str], codes: np.ndarray[Any, np.dtype[np.int64]]) -> Distinct:
    """The ids without repeats: texts that differ only in white space are the same proposition."""
    distinct = list(dict.fromkeys(ids))
    place = {one: number for number, one in enumerate(distinct)}
    return Distinct(distinct, np.array([place[one] for one in ids], np.int64)[codes.reshape(-1)])


def _judgment_rows(
    read: TextColumns, answers: Answers, source: str, propositions: Distinct, annotators: Distinct
) -> pa.Table:
    """The judgments, one per rating. Without a rating, probability and cannot_judge are missing too."""
    n = len(answers.rows)
    of_row = pa.array(answers.rows)

    def column(field: str, parse: Callable[[TextColumns, str], pa.Array], kind: pa.DataType) -> pa.Array:
        return parse(read, field).take(of_row) if field in read.columns else pa.nulls(n, kind)

    flags = pc.fill_null(column("cannot_judge", booleans, pa.bool_()), False)
    units = Distinct(propositions.values, propositions.codes[answers.rows])
    source_ids = _source_ids(read, answers, units, annotators)
    annotator_ids = pa.array([records.annotator_id(source, one) for one in annotators.values])
    text, width = pa.string(), pa.scalar(answers.width, pa.float64())
    return pa.table(
        {
            "judgment_id": pa.array([records.judgment_id(source, one) for one in source_ids.to_pylist()]),
            "proposition_id": pa.array(units.values).take(pa.array(units.codes)),
            "annotator_id": annotator_ids.take(pa.array(annotators.codes)),
            "probability": pc.if_else(flags, pa.scalar(None, pa.float64()), answers.values),
            "raw_probability": answers.values,
            "cannot_judge": flags,
            "comment": column("comment", texts, text),
            "lead_time_s": column("lead_time", seconds, pa.float64()),
            "source": pa.repeat(pa.scalar(source), n),
            "source_id": source_ids,
            "sequence": pa.array(np.arange(n), pa.int64()),
            "status": pc.fill_null(pc.utf8_lower(column("status", texts, text)), "submitted"),
            "batch": column("batch", texts, text),
            "submitted_at": column("submitted_at", times, pa.timestamp("us", "UTC")),
            "updated_at": pa.nulls(n, pa.timestamp("us", "UTC")),
            "deleted_at": pa.nulls(n, pa.timestamp("us", "UTC")),
            "created_at": pa.repeat(pa.scalar(records.now(), pa.timestamp("us", "UTC")), n),
            "width": pc.if_else(flags, pa.scalar(None, pa.float64()), pa.repeat(width, n)),
            **{name: pa.nulls(n, text) for name in ("interface", "interface_version", "scale")},
        }
    )


def _said_of_statuses(judgments: pa.Table) -> list[str]:
    """A line if some judgments have a status that may mean that they were never meant to count, such as a preview."""
    counts = {one["values"]: one["counts"] for one in pc.value_counts(judgments["status"]).to_pylist()}
    unusual = counts.keys() - USUAL_STATUSES
    if not unusual or len(counts.keys() - {REJECTED}) < 2:
        return []
    listed = ", ".join(f"{name} ({counts[name]:,})" for name in sorted(unusual))
    return [f"all count but those that are {REJECTED}, also those with the status {listed}"]


def _said_of_repeats(judgments: pa.Table) -> list[str]:
    """A line if annotators judged propositions again, as when a file has rows twice."""
    pairs = judgments.group_by(["annotator_id", "proposition_id"]).aggregate([]).num_rows
    if not (n := judgments.num_rows - pairs):
        return []
    return [f"{n:,} are further judgments of a proposition by the same annotator, and only the first counts"]


def _source_ids(read: TextColumns, answers: Answers, propositions: Distinct, annotators: Distinct) -> pa.Array:
    """The ids of the judgments in their source; of several in a row, each has the row's id and its number."""
    if "source_id" in read.columns:
        ids = read.columns["source_id"]
        repeats = np.flatnonzero(_ordinals(distinct(read, "source_id").codes))
        if len(repeats):
            index = int(repeats[0])
            shown = ids[index].as_py()
            raise read.error(index, "source_id", f"{shown!r} appears twice; each judgment needs its own id")
        if "responses" not in read.columns:
            return ids
        numbers_within = pa.array(_ordinals(answers.rows) + 1).cast(pa.string())
        return pc.binary_join_element_wise(ids.take(pa.array(answers.rows)), numbers_within, ":")
    ordinals = _ordinals(annotators.codes * len(propositions.values) + propositions.codes)
    return pc.binary_join_element_wise(
        pa.array(annotators.values).take(pa.array(annotators.codes)),
        pa.array(propositions.values).take(pa.array(propositions.codes)),
        pc.utf8_lpad(pa.array(ordinals + 1).cast(pa.string()), 4, "0"),
        ":",
    )


def _ordinals(codes: np.ndarray[Any, np.dtype[np.int64]]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """For each row, how many rows before it have the same code."""
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    ordinals = np.empty(len(codes), np.int64)
    ordinals[order] = np.arange(len(codes)) - np.repeat(starts, np.diff(np.append(starts, len(codes))))
    return ordinals


def _without_unanswered(read: TextColumns, answers: Answers, judgments: pa.Table) -> tuple[pa.Table, list[Drop]]:
    """The judgments with a rating or "cannot judge", and a drop for each row with neither."""
    silent = pc.and_(pc.is_null(judgments["probability"]), pc.invert(judgments["cannot_judge"]))
    drops = [
        read.drop(int(answers.rows[index]), judgments["judgment_id"][index].as_py(), "no rating")
        for index in np.flatnonzero(silent.to_numpy()).tolist()
    ]
    kept = judgments.filter(pc.invert(silent))
    if kept.num_rows == 0:
        raise InputError(f"{read.path} has no ratings")
    return kept.cast(arrow_schema(Judgment)).replace_schema_metadata(arrow_schema(Judgment).metadata), drops


def _bounded(judgments: pa.Table) -> tuple[pa.Table, list[Drop]]:
    """The judgments without implausible lead times, and a drop for each of these times."""
    times = judgments["lead_time_s"]
    long = pc.fill_null(pc.greater(times, LEAD_TIME_LIMIT_S), False)
    reason = "lead_time_too_long"
    found = judgments.filter(long).select(["judgment_id", "lead_time_s"]).to_pylist()
    drops = [
        Drop(
            drop_id=records.content_id("import", row["judgment_id"], reason),
            stage="import",
            subject_id=row["judgment_id"],
            reason=reason,
            detail=f"{row['lead_time_s']:.0f} s, left out",
        )
        for row in found
    ]
    place = judgments.schema.get_field_index("lead_time_s")
    bounded = pc.if_else(long, pa.scalar(None, pa.float64()), times)
    return judgments.set_column(place, judgments.schema.field(place), bounded), drops
