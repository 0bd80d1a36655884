"""Where a ledger keeps its rows: what a store is, and what is kept there."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from synthesis.panel.settings import Prices


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """A reply as it is stored: `reply` is JSON, `created_at` an ISO 8601 time."""

    key: str
    endpoint: str
    model: str
    reply: str
    created_at: str


@dataclass(frozen=True, slots=True)
class SubmittedBatch:
    """A batch of calls that was handed to an endpoint's batch interface; `batch_id` is None until it said yes.

    It holds what its replies are kept with, so that whoever finds it later can take them in: `lines` are the keys of
    the calls, each with the request that pays for it, `prices` those of a million tokens in and out in this batch,
    `structured` whether the response format was sent.
    """

    local_id: str
    endpoint: str
    batch_id: str | None
    model: str
    structured: bool
    prices: Prices
    lines: Mapping[str, str]
    created_at: str

    @property
    def sent(self) -> str:
        """What is sent, as JSON."""
        return json.dumps(
            {"model": self.model, "structured": self.structured, "prices": self.prices, "lines": dict(self.lines)}
        )

    @classmethod
    def of_row(cls, local_id: str, endpoint: str, batch_id: str | None, sent: str, created_at: str) -> SubmittedBatch:
        """The batch of a stored row; raises ValueError where `sent` cannot be read."""
        data = json.loads(sent)
        price_in, price_out = data["prices"]
        return cls(
            local_id,
            endpoint,
            batch_id,
            data["model"],
            data["structured"],
            (price_in, price_out),
            data["lines"],
            created_at,
        )


class Store(ABC):
    """Where a ledger keeps its rows. Used by one thread; each method is done, and on disk, when it returns."""

    name: str

    @abstractmethod
    def read(self, keys: Collection[str]) -> dict[str, str]:
        """The replies that are there, as JSON, by key."""

    @abstractmethod
    def read_beside_batches(self, keys: Collection[str]) -> tuple[dict[str, str], frozenset[str]]:
        """The same, with the local ids of all batches that were there at the same moment. Often asked, so cheap."""

    @abstractmethod
    def write(self, rows: Sequence[LedgerRow]) -> None:
        """Keep rows; of a key that is there already the first reply stays."""

    @abstractmethod
    def lock(self, keys: Collection[str]) -> set[str]:
        """The keys of which this process now has the lock; a process that ends, however it ends, loses all of its."""

    @abstractmethod
    def unlock(self, keys: Collection[str]) -> None:
        """Give locks back."""

    @abstractmethod
    def put_batch(self, batch: SubmittedBatch) -> None:
        """Keep a batch, or what is new about it."""

    @abstractmethod
    def remove_batch(self, local_id: str) -> None:
        """Forget a batch whose replies are kept."""

    @abstractmethod
    def batches(self, endpoint: str | None) -> list[SubmittedBatch]:
        """The batches of an endpoint, or of all, that are under way, the oldest first."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection and give back all locks."""
