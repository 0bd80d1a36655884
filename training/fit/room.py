"""How many tokens go through the model at once, in the memory that there is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

from warehouse.errors import OddsError

TOO_LITTLE_MEMORY = "the device has too little memory; use a smaller base, or gradient_checkpointing = true"
T = TypeVar("T")


class Room:
    """How many tokens go through the model at once: half as many whenever memory does not suffice.

    Args:
        tokens: How many at first.
        halvings: How often they may be halved.
        note: Told of the first time.
        what: What is read, for the note.
    """

    def __init__(self, tokens: int, halvings: int, note: Callable[[str], None], what: str = "") -> None:
        self.tokens, self._left, self._note, self._what = tokens, halvings, note, what
        self._halved = False

    def limit(self, tokens: int) -> None:
        """Read at most so many tokens at once from now on."""
        self.tokens = min(self.tokens, tokens)

    def fit(self, read: Callable[[int], T], cost: int, least: int = 1) -> T:
        """Call `read` with how many tokens go through at once, until memory suffices.

        Args:
            read: What needs the memory.
            cost: How many tokens it reads.
            least: Those of its longest example, which is never parted.

        Raises:
            OddsError: halving again is not allowed, or would part nothing.
        """
        while True:
            try:
                return read(self.tokens)
            except torch.OutOfMemoryError as error:
                if not self._left or self.tokens <= least:
                    raise OddsError(TOO_LITTLE_MEMORY) from error
            # Outside the block, since the error holds on to the tensors that are in the way.
            self.tokens, self._left = max(min(self.tokens, cost) // 2, 1), self._left - 1
            if not self._halved:
                self._note(f"memory did not suffice: reading {self.tokens:,} tokens{self._what} at once from now on")
            self._halved = True
