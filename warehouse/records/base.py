"""What every record shares: the base class, field types, ids and splits."""

from __future__ import annotations

import hashlib
import unicodedata
from datetime import UTC, datetime
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

Probability = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=0)]
Split = Literal["train", "dev", "test"]


def normalise(text: str) -> str:
    """Return the text in Unicode NFC with single spaces, as ids are computed from it. Case is kept."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def content_id(*parts: str) -> str:
    """Return a 24-digit hexadecimal id of the parts in order (BLAKE2b, 96 bits); "ab", "c" differs from "a", "bc"."""
    data = b""
    for part in parts:
        encoded = part.encode()
        data += len(encoded).to_bytes(8, "big") + encoded
    return hashlib.blake2b(data, digest_size=12).hexdigest()


def premise_id(text: str) -> str:
    """Return the id of a premise: a hash of its normalised text."""
    return content_id("premise", normalise(text))


def proposition_id(premise: str, hypothesis: str) -> str:
    """Return the id of a proposition: a hash of its normalised premise and hypothesis."""
    return content_id("proposition", normalise(premise), normalise(hypothesis))


def labeler_id(labeler: str, labeler_version: str) -> str:
    """Return the id of one version of a labeler."""
    return content_id("labeler version", labeler, labeler_version)


def annotator_id(source: str, source_id: str) -> str:
    """Return the id of an annotator from its source and its id in that source."""
    return content_id("annotator", source, source_id)


def pseudonym(annotator: str) -> str:
    """Return what to call the person with this annotator id, whose name stays in Label Studio."""
    return f"A-{annotator[:8]}"


def judgment_id(source: str, source_id: str) -> str:
    """Return the id of a judgment from its source and its id in that source."""
    return content_id("judgment", source, source_id)


SplitShares = tuple[float, float]
DEFAULT_SHARES: SplitShares = (0.7, 0.1)
"""The shares of premises for train and dev; the rest is for test."""


def split_of(premise: str, train: float = DEFAULT_SHARES[0], dev: float = DEFAULT_SHARES[1]) -> Split:
    """Return the split of every proposition of a premise.

    It depends on the premise's id alone, so a premise never moves and never appears in two splits.

    Args:
        premise: The id of the premise.
        train: The share of premises for training, in [0, 1].
        dev: The share for development, in [0, 1]; the rest is for testing.
    """
    position = int(content_id("split", premise)[:12], 16) / 16**12
    if position < train:
        return "train"
    return "dev" if position < train + dev else "test"


def now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


class Record(BaseModel):
    """A row of a table.

    Attributes:
        table: The table that it belongs to.
        key: The field that identifies it.
        volatile: Fields that do not count as a change when they alone differ.
        kept: Fields that keep their stored value where a new row has None, because another source fills them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: ClassVar[str]
    key: ClassVar[str]
    volatile: ClassVar[frozenset[str]] = frozenset({"created_at"})
    kept: ClassVar[frozenset[str]] = frozenset()
