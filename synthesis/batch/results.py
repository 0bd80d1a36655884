"""Takes in the files of a batch that has ended: replies into the ledger, the rest as failures."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from synthesis.batch.lines import read_line
from synthesis.ledger.ledger import Ledger
from synthesis.ledger.store import SubmittedBatch
from synthesis.llm.budget import cost
from synthesis.reply import Failure, Reply


class BatchResults:
    """Takes in the lines of a batch's files: each reply is in the ledger when `take` returns.

    Of a call that stands there more than once the first reply counts. `kept` are the calls that have one, `again` those
    whose response format may be what the endpoint refused, `failures` the others: each call is one of these in the end.

    `costs` is what each reply cost by its tokens, by key. Where a model was at work and nobody says how many tokens it
    took, what `most` gives for the call, the most that it can cost, counts towards `unsure`: a limit holds for that,
    too. `uncounted` is the number of such replies, where prices are known.
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
        """What the replies cost, as far as somebody says."""
        return sum(self.costs.values())

    async def take(self, lines: Sequence[str]) -> None:
        """Takes lines in."""
        batch = self._batch
        replies: dict[str, Reply] = {}
        for text in lines:
            line = read_line(text, structured=batch.structured, secret=self._secret)
            if line is None or line.key not in batch.lines or line.key in self.kept or line.key in replies:
                continue
            if isinstance(line.outcome, Failure):
                self.failures[line.key] = line.outcome
                if line.may_be_format:
                    self.again.add(line.key)
                if line.may_be_paid:
                    self._unread.add(line.key)
                continue
            price = cost(line.outcome.tokens_in, line.outcome.tokens_out, batch.prices)
            paid_by = batch.lines[line.key]
            replies[line.key] = line.outcome.model_copy(update={"cost": price, "paid_by": paid_by})
        await self._ledger.keep_all(batch.endpoint, batch.model, replies)
        self.kept |= replies.keys()
        for key, reply in replies.items():
            if reply.cost is not None:
                self.costs[key] = reply.cost
            elif most := self._most(key):
                self.unsure += most
                self.uncounted += 1

    def end(self, status: str) -> None:
        """Fills `failures` when all lines were taken in, of a batch that ended with this status."""
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
