"""One thread that pulls soon after a hint. Hints that come meanwhile are answered by one more pull."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from threading import Event, Lock, Thread

from flows.stages.outcome import Outcome
from warehouse.errors import OddsError

SOON_S = 1.0
"""Hints within this time are answered by one pull."""
RETRY_S, LONGEST_RETRY_S = 5.0, 300.0


class Puller:
    """Pulls at the start, soon after each hint, and at least once in `every_s`; never twice at once.

    Args:
        pull: Pulls; its outcome counts "new judgments".
        report: Takes a line about each pull that brought something or failed.
        every_s: A pull happens at least this often, so that a hint that got lost loses nothing. Seconds.
        soon_s: How long to wait for more hints. Seconds.
        retry_s: How long to wait after a pull that failed, twice as long after each further failure. Seconds.
    """

    def __init__(
        self,
        pull: Callable[[], Outcome],
        report: Callable[[str], None],
        *,
        every_s: float,
        soon_s: float = SOON_S,
        retry_s: float = RETRY_S,
    ) -> None:
        self._pull, self._report = pull, report
        self._every_s, self._soon_s, self._retry_s = every_s, soon_s, retry_s
        self._wanted, self._ended, self._lock = Event(), Event(), Lock()
        self._counts: Counter[str] = Counter()
        self._last_success = 0.0
        self._thread = Thread(target=self._work, daemon=True, name="pulling")
        self._wanted.set()

    def start(self) -> None:
        """Start to pull."""
        self._thread.start()

    def hint(self) -> None:
        """Have a pull made soon. Returns at once."""
        self._count("hints")
        self._wanted.set()

    def refused(self) -> None:
        """Count a hint without the secret."""
        self._count("hints_refused")

    def end(self, patience_s: float) -> None:
        """Pull no more, and wait for a pull that is under way, though no longer than this."""
        self._ended.set()
        self._wanted.set()
        if self._thread.is_alive():
            self._thread.join(patience_s)

    def counts(self) -> dict[str, float]:
        """Return what happened so far: hints, hints_refused, pulls, pulls_failed, judgments_new; and what is."""
        names = ("hints", "hints_refused", "pulls", "pulls_failed", "judgments_new")
        with self._lock:
            counted: dict[str, float] = {f"{name}_total": self._counts[name] for name in names}
            return counted | {"pull_wanted": float(self._wanted.is_set()), "last_pull_seconds": self._last_success}

    def _count(self, name: str, number: int = 1) -> None:
        with self._lock:
            self._counts[name] += number

    def _work(self) -> None:
        retry_s = self._retry_s
        while not self._ended.is_set():
            hinted = self._wanted.wait(self._every_s)
            if hinted and self._ended.wait(self._soon_s):
                return
            self._wanted.clear()  # before the pull: what comes during it may not be in it
            if self._once():
                retry_s = self._retry_s
            else:
                self._ended.wait(retry_s)
                retry_s = min(2 * retry_s, LONGEST_RETRY_S)
                self._wanted.set()

    def _once(self) -> bool:
        """Pull, and return whether it succeeded."""
        self._count("pulls")
        try:
            outcome = self._pull()
        except Exception as error:
            self._count("pulls_failed")
            # The message of another error may hold a text.
            self._report(str(error) if isinstance(error, OddsError) else f"a pull failed with {type(error).__name__}")
            return False
        with self._lock:
            self._counts["judgments_new"] += outcome.counts.get("new judgments", 0)
            self._last_success = time.time()
        if any(outcome.counts.values()):
            self._report(outcome.line())
        return True
