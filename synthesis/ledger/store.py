"""What a ledger keeps, and the interface of a store."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from synthesis.panel.settings import Prices


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """A stored reply: `reply` is JSON, `created_at` an ISO 8601 time."""

    key: str
    endpoint: str
    model: str
    reply: str
    created_at: str


@dataclass(frozen=True, slots=True)
class SubmittedBatch:
    """A batch of calls that was handed to an endpoint's batch interface; `batch_id` is None until it was accepted.

    It holds all that is needed to collect its replies later: `lines` maps the keys of the calls to the requests that
    pay for them, `prices` are those of a million tokens in and out in this batch, `structured` says whether the
    response format was sent.
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
        """The batch of a stored row. Raises ValueError if `sent` cannot be read."""
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


def lock_number(key: str) -> int:
    """The number of a key's lock, in 60 bits."""
    return int(key[:15], 16)


class Store(ABC):
    """Where a ledger keeps its rows. Used by one thread; what a method writes is on disk when it returns."""

    name: str

    @abstractmethod
    def read(self, keys: Collection[str]) -> tuple[dict[str, str], frozenset[str]]:
        """The replies under these keys, as JSON, and the local ids of all batches at the same moment."""

    @abstractmethod
    def write(self, rows: Sequence[LedgerRow]) -> None:
        """Writes rows. The first reply under a key stays."""

    @abstractmethod
    def lock(self, keys: Collection[str]) -> set[str]:
        """Tries to lock keys, and returns those that this process got. Locks end with the process, however it ends."""

    @abstractmethod
    def unlock(self, keys: Collection[str]) -> None:
        """Gives locks back."""

    @abstractmethod
    def put_batch(self, batch: SubmittedBatch) -> None:
        """Records a batch, or what is new about it."""

    @abstractmethod
    def remove_batch(self, local_id: str) -> None:
        """Forgets a batch whose replies are kept."""

    @abstractmethod
    def batches(self, endpoint: str | None) -> list[SubmittedBatch]:
        """The batches in progress of an endpoint, or of all endpoints, oldest first."""

    @abstractmethod
    def close(self) -> None:
        """Closes the connection and gives back all locks."""
