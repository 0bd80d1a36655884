"""Asking an endpoint that answers after 50 ms, 64 in flight: ours, a bare loop over the `openai` client, distilabel.

    python -m benchmarks.synthesis [--requests 20000] [--distilabel PYTHON] [--propositions 1000000]

All ask the same stub for the same chats, each in a process of its own. Ours goes the whole way: propositions from a
DuckLake, each reply durable in the ledger before it is used, rows merged into the warehouse. The bare loop keeps the
replies in a list. distilabel keeps its rows in files; it sends neither seed nor response format, so less than the
others, and lies in an environment of its own: `pip install 'distilabel[openai]==1.5.3' requests`.

With --propositions only ours runs, over so many: for its memory, and its rate at the beginning and at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.measure import Clock, Measured, measured
from benchmarks.stub_endpoint import Stats, stats_of, stub

if TYPE_CHECKING:
    from flows.settings.settings import Settings

IN_FLIGHT = 64
REQUESTS = 20_000
PEER = Path(__file__).parent / "peers" / "distilabel_side.py"
PEER_BATCHES = (64, 256)
"""Requests that distilabel has in flight: as many as the others, and more, should that be faster."""

LABELER = {
    "name": "stub",
    "endpoint": "stub",
    "model": "stub",
    "prompt": "verbalised_short",
    "method": "verbalised",
    "temperature": 0.7,
    "seed": 1,
}
# The same words in SQL and in Python, so that all sides ask the same.
PREMISE = "Person number {} walks through the old town with an umbrella, two bags and a dog."
HYPOTHESIS = "It rains on the day on which person number {} is out."


@dataclass(frozen=True)
class Side:
    """One side of the comparison: what it gave and took, and what the endpoint saw of it."""

    name: str
    took: Measured
    seen: Stats

    @property
    def a_second(self) -> float:
        """Requests a second, as the endpoint saw them, without the first wave.

        A side that sends in waves prepares a whole one before the endpoint sees its first request.
        """
        span = self.seen.last_s - self.seen.first_s
        return (self.seen.answered - self.seen.most_in_flight) / span if span > 0 else 0.0


def bodies(count: int) -> Iterator[dict[str, Any]]:
    """The bodies of the requests: the prompt `verbalised_short`, with premises and hypotheses told by number."""
    from synthesis.panel.settings import Labeler
    from synthesis.questions.elicit import estimates
    from warehouse.records import PropositionText

    propositions = (
        PropositionText(proposition_id=f"{i:024}", premise=PREMISE.format(i), hypothesis=HYPOTHESIS.format(i))
        for i in range(count)
    )
    for question in estimates(propositions, Labeler.model_validate(LABELER)):
        (call,) = next(question)
        yield call.body(structured=True)


def settings(url: str, folder: str, ledger: str = "ledger.sqlite") -> Settings:
    """Settings of a team with one labeler at the stub."""
    from flows.settings.settings import Settings
    from synthesis.panel.defaults import DEFAULT_ENDPOINT

    endpoint = {"name": "stub", "base_url": url, "max_in_flight": IN_FLIGHT, "price_in": 0.15, "price_out": 0.6}
    return Settings.model_validate(
        {
            "root": folder,
            "ledger": ledger,
            "endpoints": [DEFAULT_ENDPOINT.model_dump(), endpoint],
            "labelers": [LABELER],
        }
    )


def bare_side(url: str, count: int) -> tuple[int, float]:
    """An asyncio loop over the client in its default set-up."""
    import openai

    made = list(bodies(count))
    replies: list[str | None] = []

    async def ask_all() -> None:
        slots = asyncio.Semaphore(IN_FLIGHT)
        async with openai.AsyncOpenAI(base_url=url, api_key="none") as client:

            async def ask(body: dict[str, Any]) -> None:
                async with slots:
                    completion = await client.chat.completions.create(**body)
                    replies.append(completion.choices[0].message.content)

            await asyncio.gather(*(ask(body) for body in made))

    with Clock() as clock:
        asyncio.run(ask_all())
    return len(replies), clock.seconds


def fill(folder: str, count: int) -> tuple[int, float]:
    """A warehouse of so many propositions, each with a premise of its own."""
    from warehouse.catalog.connect import open_warehouse

    premise, hypothesis = (f"replace('{text}', '{{}}', i::VARCHAR)" for text in (PREMISE, HYPOTHESIS))
    with (
        open_warehouse(settings("http://127.0.0.1/v1", folder).catalog, read_only=False) as warehouse,
        Clock() as clock,
    ):
        warehouse.connection.execute(
            f"INSERT INTO premises BY NAME SELECT substr(md5('m' || i), 1, 24) AS premise_id, {premise} AS text, "
            f"'benchmark' AS source, 'en' AS language, now() AS created_at FROM range({count}) t(i)"
        )
        warehouse.connection.execute(
            "INSERT INTO propositions BY NAME SELECT substr(md5('p' || i), 1, 24) AS proposition_id, "
            f"substr(md5('m' || i), 1, 24) AS premise_id, {hypothesis} AS hypothesis, 'imported' AS kind, "
            f"'benchmark' AS source, 'train' AS split, now() AS created_at FROM range({count}) t(i)"
        )
    return count, clock.seconds


def odds_side(url: str, folder: str, ledger: str) -> tuple[int, float]:
    """What `odds elicit` does but Prefect's record of the run: the estimates that it wrote, and all its seconds."""
    from flows.elicit import STAGE, jobs
    from flows.llm_runs.jobs import RunOptions
    from flows.llm_runs.run import run_jobs
    from flows.stages.services import writing_for_llm_run

    chosen = settings(url, folder, ledger)
    with writing_for_llm_run(chosen) as warehouse, Clock() as clock:
        outcome = run_jobs(chosen, warehouse, STAGE, jobs(chosen, warehouse), RunOptions())
    return outcome.counts.get("estimates", 0), clock.seconds


def distilabel_side(url: str, python: str, count: int, batch: int, folder: str) -> Measured:
    """distilabel, started by its own Python; seconds are those of the endpoint, since its start takes long."""
    chats = Path(folder) / "chats.jsonl"
    chats.write_text("".join(json.dumps(body["messages"]) + "\n" for body in bodies(count)))
    homes = {"DISTILABEL_CACHE_DIR": folder, "HF_HOME": folder}
    quiet = {"PYTHONWARNINGS": "ignore", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
    done = subprocess.run(
        [python, str(PEER), url, str(chats), str(batch)],
        env=os.environ | homes | quiet,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    said = json.loads(done.stdout.splitlines()[-1])
    seen = stats_of(url)
    return Measured(said["rows"], seen.last_s - seen.first_s, said["peak_gib"])


def at_a_stub(name: str, side: Callable[[str], Measured]) -> Side:
    """A side against a stub of its own."""
    with stub() as url:
        took = side(url)
        return Side(name, took, stats_of(url))


def compare(count: int, python: str) -> None:
    """All sides, one after the other; then ours once more, as it was, and over the full ledger with a new warehouse."""
    print("| side | requests/s | in flight | s in all | peak GiB | replies |\n|---|---|---|---|---|---|", flush=True)
    show(at_a_stub("bare `openai`", lambda url: measured(bare_side, url, count)))
    with tempfile.TemporaryDirectory() as folder:
        ledger = str(Path(folder) / "ledger.sqlite")
        for name in ("first", "second"):
            measured(fill, str(Path(folder) / name), count)
        first = at_a_stub("odds", lambda url: measured(odds_side, url, str(Path(folder) / "first"), ledger))
        show(first)
        again = at_a_stub("odds again", lambda url: measured(odds_side, url, str(Path(folder) / "first"), ledger))
        second = at_a_stub("odds anew", lambda url: measured(odds_side, url, str(Path(folder) / "second"), ledger))
    if Path(python).exists():
        for batch in PEER_BATCHES:
            with tempfile.TemporaryDirectory() as folder:
                show(at_a_stub("distilabel", lambda url: distilabel_side(url, python, count, batch, folder)))  # noqa: B023
    else:
        print(f"\ndistilabel is left out: there is no {python}; --distilabel names a Python that has it")
    print("\n| over a full ledger | propositions/s | s | requests sent | estimates written | peak GiB |")
    print("|---|---|---|---|---|---|")
    for name, side in (("the same command again", again), ("into a new warehouse", second)):
        took = side.took
        print(
            f"| {name} | {count / took.seconds:,.0f} | {took.seconds:.2f} | {side.seen.received} | {took.result:,} "
            f"| {took.peak_gib:.2f} |"
        )


def show(side: Side) -> None:
    """One line of the table."""
    took = side.took
    print(
        f"| {side.name} | {side.a_second:,.0f} | {side.seen.most_in_flight} | {took.seconds:.1f} "
        f"| {took.peak_gib:.2f} | {took.result or 0:,} |",
        flush=True,
    )


def endure(count: int) -> None:
    """Ours alone over many propositions: memory, and the rates of the first and the last tenth."""
    with tempfile.TemporaryDirectory() as folder, stub() as url:
        measured(fill, folder, count)
        with sampled(url) as samples:
            took = measured(odds_side, url, folder, str(Path(folder) / "ledger.sqlite"))
        first, last = rate(samples, 0, count // 10), rate(samples, count - count // 10, count)
        seen = stats_of(url)
    print("| propositions | requests | s | peak MB | first tenth, requests/s | last tenth |\n|---|---|---|---|---|---|")
    print(
        f"| {took.result:,} | {seen.answered:,} | {took.seconds:,.0f} | {took.peak_gib * 2**30 / 1e6:,.0f} "
        f"| {first:,.0f} | {last:,.0f} |"
    )


@contextmanager
def sampled(url: str, every_s: float = 0.5) -> Iterator[list[tuple[float, int]]]:
    """While it lasts, the list grows by what the stub had answered (time of its last reply in seconds, replies)."""
    samples: list[tuple[float, int]] = []
    ended = threading.Event()

    def sample() -> None:
        while not ended.wait(every_s):
            look()

    def look() -> None:
        seen = stats_of(url)
        if seen.received:
            samples.append((seen.last_s or seen.first_s, seen.answered))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield samples
    finally:
        ended.set()
        thread.join()
        look()


def rate(samples: list[tuple[float, int]], start: int, end: int) -> float:
    """Replies a second while their number went from `start` to `end`; nan where the samples lie too far apart."""
    within = [(moment, answered) for moment, answered in samples if start <= answered <= end]
    if len(within) < 2 or within[-1][0] <= within[0][0]:
        return float("nan")
    return (within[-1][1] - within[0][1]) / (within[-1][0] - within[0][0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--distilabel", default=".venv-distilabel/bin/python", metavar="PYTHON")
    parser.add_argument("--propositions", type=int, metavar="N", help="ours alone, over so many")
    options = parser.parse_args()
    if options.propositions:
        endure(options.propositions)
    else:
        compare(options.requests, options.distilabel)


if __name__ == "__main__":
    main()
