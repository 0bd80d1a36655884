"""Collects the files of a batch that has ended: replies go into the ledger, the rest are failures."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from synthesis.batch.lines import read_line
from synthesis.ledger.ledger import Ledger
from synthesis.ledger.store import SubmittedBatch
from synthesis.llm.budget import cost
from synthesis.reply import Failure, Reply


class BatchResults:
    """The results of one batch. Each reply is in the ledger when `add` returns.

    In the end every call is in one of three: `kept` holds those with a reply (the first one counts), `again` those
    whose response format the endpoint may have refused, `failures` the others. `costs` is what each reply cost by its
    tokens, by key. If the model ran and the number of tokens is unknown, the most that the call can cost, as `most`
    gives it, counts towards `unsure`. `uncounted` is the number of such replies, where prices are known.
    """

    def __init__(self, ledger: Ledger, batch: SubmittedBatch, secret: str | None, most: Callable[[str], float]) -> None:
        self.kept: set[str] = set()
        self.again: set[str] = set()
        self.costs: dict[str, float] = {}
        self.unsure = 0.0
        self.uncounted = 0
        self.failures: dict[str, Failure] = {}
        self._ledger = ledger
        self._batch = batch
        self._secret = secret
        self._most = most
        self._unread: set[str] = set()

    @property
    def paid(self) -> float:
        """What the replies cost, as far as it is known."""
        return sum(self.costs.values())

    async def add(self, lines: Sequence[str]) -> None:
        """Collects lines."""
        batch = self._batch
        replies: dict[str, Reply] = {}
        for text in lines:
            line = read_line(text, structured=batch.structured, secret=self._secret)
            if line is None or line.key not in batch.lines or line.key in self.kept or line.key in replies:
                continue
            if isinstance(line.result, Failure):
                self.failures[line.key] = line.result
                if line.may_be_format:
                    self.again.add(line.key)
                if line.may_be_paid:
                    self._unread.add(line.key)
                continue
            price = cost(line.result.tokens_in, line.result.tokens_out, batch.prices)
            paid_by = batch.lines[line.key]
            replies[line.key] = line.result.model_copy(update={"cost": price, "paid_by": paid_by})
        await self._ledger.keep_all(batch.endpoint, batch.model, replies)
        self.kept |= replies.keys()
        for key, reply in replies.items():
            if reply.cost is not None:
                self.costs[key] = reply.cost
            elif most := self._most(key):
                self.unsure += most
                self.uncounted += 1

    def end(self, status: str) -> None:
        """Fills `failures` once all lines are collected; `status` is how the batch ended."""
        self.again -= self.kept
        lost = Failure(
            reason="not_answered",
            detail="no line in the batch's files" if status == "completed" else f"the batch was {status}",
        )
        left = [key for key in self._batch.lines if key not in self.kept and key not in self.again]
        if status == "completed":
            self._unread |= set(left) - self.failures.keys()
        self.unsure += sum(self._most(key) for key in sorted(self._unread - self.kept))
        self.failures = {key: self.failures.get(key, lost) for key in left}
