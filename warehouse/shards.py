"""A published training set: parquet shards in a folder, with a manifest that is written last.

Training reads it, so nothing here needs the database. Rows are propositions, or pairs of which one must score higher.
Both are sorted by premise, so that readers can skip, and splits can be checked in constant memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from warehouse.errors import InputError
from warehouse.records import ConsensusMethod, Count, Split, Text

MANIFEST = "manifest.json"
CARD = "README.md"
FORMAT_VERSION = 3
Part = Literal["propositions", "pairs"]
Origin = Literal["human", "synthetic"]
Weight = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
SPLITS: tuple[Split, ...] = get_args(Split)
HUB_SPLITS: dict[str, str] = {"train": "train", "dev": "validation", "test": "test"}
"""The names of the splits on the Hugging Face Hub and in `datasets`."""
ORIGINS: tuple[Origin, ...] = get_args(Origin)


def _field(name: str, kind: pa.DataType, meaning: str, *, nullable: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=nullable, metadata={"meaning": meaning})


SHARD_SCHEMA = pa.schema(
    [
        _field("proposition_id", pa.string(), "The proposition; a hash of its normalised texts."),
        _field("premise_id", pa.string(), "The premise; a hash of its normalised text. Rows are sorted by it."),
        _field("premise", pa.string(), "The text taken as true."),
        _field("hypothesis", pa.string(), "The statement whose probability is asked."),
        _field(
            "kind",
            pa.string(),
            "proposed, imported, negation, paraphrase, strengthened, weakened, conjunction or rewritten.",
        ),
        _field("source", pa.string(), "Where the proposition comes from."),
        _field("split", pa.string(), "train, dev or test; that of the premise and of everything like it."),
        _field("origin", pa.string(), "human: it rests on judgments; synthetic: on estimates of labelers alone."),
        _field("weight", pa.float64(), "The weight of its part: multiplies the row's loss."),
        _field("mean", pa.float64(), "The consensus, or the mean of the panel (a probability)."),
        _field("sd", pa.float64(), "The standard error of the mean; null where unknown.", nullable=True),
        _field("values", pa.list_(pa.float64()), "The probabilities that it rests on: judgments, then estimates."),
        _field(
            "weights",
            pa.list_(pa.float64()),
            "How much each value weighs; 1 minus their sum is missing and counts as uniform.",
        ),
        _field(
            "widths",
            pa.list_(pa.float64()),
            "The width of the interval around each value that it stands for, such as a label of five; 0 for a point.",
        ),
        _field(
            "sources",
            pa.list_(pa.string()),
            "The source of each value that is an ordinal label, since each uses labels differently; empty for a point.",
        ),
        _field("n_judgments", pa.int32(), "How many judgments it rests on (count)."),
        _field("n_estimates", pa.int32(), "How many estimates of labelers it rests on (count)."),
        _field("n_simulated", pa.int32(), "How many of these rest on simulated annotators (count)."),
    ]
)
PAIR_SCHEMA = pa.schema(
    [
        _field(
            "pair_id",
            pa.string(),
            "The pair: the id of the proposition made from the other one, both ids if compared, the choice if chosen.",
        ),
        _field("premise_id", pa.string(), "The premise of the higher proposition. Rows are sorted by it."),
        _field("split", pa.string(), "train, dev or test; that of both premises."),
        _field(
            "kind",
            pa.string(),
            "strengthened or weakened: the one was made so; compared: labelers, asked in both orders, agree; "
            "chosen: the right and a wrong alternative of a question.",
        ),
        _field("source", pa.string(), "Where the pair comes from; if compared the labelers, if chosen the files."),
        _field("weight", pa.float64(), "The weight of its part: multiplies the pair's loss."),
        _field("higher_proposition_id", pa.string(), "The proposition that must score higher."),
        _field("higher_premise", pa.string(), "Its premise."),
        _field("higher_hypothesis", pa.string(), "Its hypothesis."),
        _field("lower_proposition_id", pa.string(), "The proposition that must score lower."),
        _field("lower_premise_id", pa.string(), "The id of its premise."),
        _field("lower_premise", pa.string(), "Its premise."),
        _field("lower_hypothesis", pa.string(), "Its hypothesis."),
    ]
)
SCHEMAS: dict[Part, pa.Schema] = {"propositions": SHARD_SCHEMA, "pairs": PAIR_SCHEMA}
KEYS: dict[Part, str] = {"propositions": "proposition_id", "pairs": "pair_id"}
_ADDED: dict[str, Any] = {"origin": "human", "weight": 1.0, "n_estimates": 0}
_ADDED_LISTS: dict[str, Any] = {"widths": 0.0, "sources": ""}


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Recipe(_Frozen):
    """The composition of a training set. A part of weight 0 is left out.

    Attributes:
        consensus: The method of the consensus.
        source_weights: Factors on the weights of the rows of a source, by its name.
        near_duplicates: The Jaccard similarity from which two premises share a split; 0 for derived premises only.
    """

    consensus: ConsensusMethod
    human_weight: Weight = 1.0
    synthetic_weight: Weight = 0.0
    pairs_weight: Weight = 0.0
    source_weights: dict[Text, Annotated[float, Field(gt=0.0, le=1000.0)]] = {}
    near_duplicates: Annotated[float, Field(ge=0.0, le=1.0)] = 0.8


class Licence(_Frozen):
    """The number of premises of a source under a licence, which may be "unknown"."""

    licence: Text
    source: Text
    premises: Count


class ManifestHead(_Frozen):
    """The name and origin of a training set. `queries` has the query for the rows of each part."""

    name: Text
    version: int = Field(ge=1)
    dataset_id: Text
    snapshot_id: int
    code_version: Text
    recipe: Recipe
    queries: dict[Part, Text] = Field(default_factory=dict)
    licences: tuple[Licence, ...] = ()


class Column(_Frozen):
    """A column of a part, its Arrow type and its meaning."""

    name: Text
    type: Text
    meaning: str


class File(_Frozen):
    """A file: its path relative to the folder, its size in bytes and its SHA-256 hash (hexadecimal)."""

    path: Text
    bytes: Count
    sha256: Text


class ShardFile(File):
    """A shard, and the premises of its first and last row."""

    split: Split
    rows: Count
    part: Part = "propositions"
    first_premise_id: str | None = None
    last_premise_id: str | None = None


class Manifest(ManifestHead):
    """Everything about a training set. `counts` are propositions by split, `origins` the same by origin.

    `n_simulated` counts the judgments of simulated annotators, `n_simulated_estimates` the estimates recalibrated on
    such judgments.
    """

    format_version: Literal[3] = 3
    created_at: AwareDatetime
    counts: dict[Split, Count]
    origins: dict[Origin, dict[Split, Count]]
    pairs: dict[Split, Count]
    n_judgments: Count
    n_estimates: Count
    n_simulated: Count
    n_simulated_estimates: Count = 0
    columns: dict[Part, tuple[Column, ...]]
    files: tuple[ShardFile, ...]
    card: File | None = None

    @model_validator(mode="before")
    @classmethod
    def _of_earlier_versions(cls, data: Any) -> Any:
        """Upgrade a manifest of version 2, or of 1, which had only human propositions and no groups of premises."""
        if not isinstance(data, dict) or data.get("format_version") not in (1, 2):
            return data
        if data["format_version"] == 2:
            return data | {"format_version": FORMAT_VERSION}
        none: dict[Split, int] = dict.fromkeys(SPLITS, 0)
        older = {key: value for key, value in data.items() if key not in ("consensus", "format_version")}
        recipe = {"consensus": data.get("consensus"), "near_duplicates": 0.0}
        origins = {"human": data.get("counts"), "synthetic": none}
        return older | {"recipe": recipe, "origins": origins, "pairs": none, "n_estimates": 0, "columns": {}}


def columns_of(part: Part) -> tuple[Column, ...]:
    """Return the columns of a part with their meanings."""
    return tuple(
        Column(name=each.name, type=str(each.type), meaning=each.metadata[b"meaning"].decode())
        for each in SCHEMAS[part]
    )


def sha256(path: Path) -> str:
    """Return the SHA-256 hash of a file (hexadecimal)."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a training set. Raises `InputError` if the folder has none that can be read."""
    path = folder / MANIFEST
    if not path.exists():
        raise InputError(f"{folder} is not a published training set: it has no {MANIFEST}; run `odds publish`")
    try:
        return Manifest.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: it is corrupt, or a newer `odds` wrote it; publish again") from error


def read_batches(
    folder: Path, split: Split, rows: int = 16_384, part: Part = "propositions"
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a part of a split batch by batch, in order."""
    for file in read_manifest(folder).files:
        if (file.split, file.part) == (split, part):
            with pq.ParquetFile(folder / file.path) as shard:
                for batch in shard.iter_batches(batch_size=rows):
                    yield _in_schema(batch, SCHEMAS[part])


def read_split(folder: Path, split: Split, origin: Origin | None = None) -> pa.Table:
    """Return the propositions of a split as one table, all or those of one origin; may be empty."""
    table = pa.Table.from_batches(read_batches(folder, split), SHARD_SCHEMA)
    return table if origin is None else table.filter(pc.equal(table["origin"], origin))


@dataclass(frozen=True)
class ShardRows:
    """The rows of a part of a split, to be read again and again without holding them in memory."""

    folder: Path
    split: Split
    part: Part = "propositions"

    def to_batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows batch by batch, in order."""
        return read_batches(self.folder, self.split, part=self.part)


def read_pairs(folder: Path, split: Split) -> pa.Table:
    """Return the order pairs of a split as one table; may be empty."""
    return pa.Table.from_batches(read_batches(folder, split, part="pairs"), PAIR_SCHEMA)


def _in_schema(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The rows with the columns that older sets lack: without origin all are human, without widths all points."""
    there = batch.schema.names
    if lacking := set(schema.names) - {*there, *_ADDED, *_ADDED_LISTS}:
        raise InputError(f"a shard has no column {min(lacking)!r}; publish the training set again")
    for name in (name for name in _ADDED_LISTS if name in schema.names and name not in there):
        values = batch["values"]
        same = pa.repeat(_ADDED_LISTS[name], len(values.flatten()))
        offsets = np.concatenate([[0], np.cumsum(pc.list_value_length(values).to_numpy(zero_copy_only=False))])
        batch = batch.append_column(name, pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), same))
    there = batch.schema.names
    columns = [
        batch[each.name] if each.name in there else pa.repeat(pa.scalar(_ADDED[each.name], each.type), len(batch))
        for each in schema
    ]
    return pa.record_batch(columns, schema=schema)
