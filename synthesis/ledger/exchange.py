"""The thread's side of a ledger: writes and reads what coroutines have gathered, one transaction per group."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from pydantic import ValidationError

from synthesis.ledger.store import LedgerRow, Store
from synthesis.reply import Reply
from warehouse.errors import ServiceError


@dataclass(frozen=True, slots=True)
class Keep:
    """Writes a reply, and ends the reservation of its call."""

    row: LedgerRow


@dataclass(frozen=True, slots=True)
class Reserve:
    """Reserves a call, or finds its reply."""

    key: str


@dataclass(frozen=True, slots=True)
class Release:
    """Ends the reservation of a call without a reply."""

    key: str


class Claim(Enum):
    """The result of a reservation without a reply: who may send the call."""

    OURS = "ours"
    THEIRS = "another process is sending it"
    IN_BATCH = "a batch in progress holds it"


Operation: TypeAlias = Keep | Reserve | Release
Found: TypeAlias = Reply | Claim | None


class Exchange:
    """What the ledger's one thread does with its store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._unkept: list[LedgerRow] = []
        self._batch_ids: frozenset[str] = frozenset()
        self._batch_keys: set[str] = set()

    def run(self, group: Sequence[Operation]) -> list[Found]:
        """Runs a group of operations, writes first. Returns a reply or a claim for each reservation."""
        wanted = [each.key for each in group if isinstance(each, Reserve)]
        released = [each.key for each in group if isinstance(each, Release)]
        # A reservation released later in the same group was cancelled; one released before it belongs to somebody else.
        last = {each.key: each for each in group if not isinstance(each, Keep)}
        cancelled = {key for key, each in last.items() if isinstance(each, Release)}
        rows = [each.row for each in group if isinstance(each, Keep)]
        self._keep(rows)
        self._store.unlock([row.key for row in rows] + released)
        if not wanted:
            return [None] * len(group)
        # Lock before reading: whoever held the lock until now has written the reply before unlocking.
        locked = self._store.lock(wanted)
        found = self._replies_and_batches(wanted)
        self._store.unlock(locked & (found.keys() | cancelled))
        return [
            (found.get(each.key) or (Claim.OURS if each.key in locked else Claim.THEIRS))
            if isinstance(each, Reserve)
            else None
            for each in group
        ]

    def recall(self, keys: Collection[str]) -> dict[str, Reply]:
        """The replies that are kept under these keys."""
        texts, _ = self._store.read(keys)
        return {key: self._reply(text) for key, text in texts.items()}

    def unasked(self, keys: Collection[str]) -> set[str]:
        """The keys that have no reply and that no other process has reserved."""
        locked = self._store.lock(keys)
        try:
            texts, _ = self._store.read(locked)
            return locked - texts.keys()
        finally:
            self._store.unlock(locked)

    def write(self, rows: Sequence[LedgerRow]) -> None:
        """Writes rows."""
        if rows:
            self._store.write(rows)

    def close(self, rows: Sequence[LedgerRow]) -> None:
        """Writes the last rows and closes the store. Raises ServiceError if replies could not be kept."""
        known = {row.key for row in self._unkept}
        try:
            self._keep([row for row in rows if row.key not in known])
        except ServiceError as error:
            lost = f"{len(self._unkept)} replies that came, and may be paid for, could not be kept"
            raise ServiceError(f"{error}; {lost}") from None
        finally:
            self._store.close()

    def _keep(self, rows: Sequence[LedgerRow]) -> None:
        """Writes rows, including earlier ones that could not be written then."""
        self._unkept += rows
        self.write(self._unkept)
        self._unkept = []

    def _replies_and_batches(self, keys: Collection[str]) -> dict[str, Found]:
        """The replies to these calls, and IN_BATCH for those that a batch will answer."""
        while True:
            texts, ids = self._store.read(keys)
            if ids == self._batch_ids:
                break
            # Read again afterwards: a batch that was collected in the meantime has left replies.
            batches = self._store.batches(None)
            self._batch_ids = frozenset(batch.local_id for batch in batches)
            self._batch_keys = {key for batch in batches for key in batch.lines}
        held: dict[str, Found] = {key: Claim.IN_BATCH for key in keys if key in self._batch_keys}
        return held | {key: self._reply(text) for key, text in texts.items()}

    def _reply(self, text: str) -> Reply:
        try:
            return Reply.model_validate_json(text)
        except ValidationError as error:
            first = str(error).splitlines()[0]
            raise ServiceError(f"ledger {self._store.name}: cannot be read ({first}); move it away") from error
