"""`odds serve` under 1 and 16 clients, beside `Estimator.score` called directly in a loop, which is the ceiling.

    python -m benchmarks.serve [--requests 64] [--clients 1 16] [--each 1 16]

SmolLM2-135M with an adapter that nobody fitted, which costs as much as any, on the GPU if there is one. Each side has
a process of its own; they take turns. The propositions of a run all have premises of their own.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx

from benchmarks.measure import measured
from benchmarks.training import base_folder, estimator_folder, propositions
from tests.fixtures.estimator import in_use

Pair = tuple[str, str]


def requests(n: int, each: int) -> list[list[Pair]]:
    """Return n requests of so many propositions."""
    rows = propositions(n * each)
    return [rows[start : start + each] for start in range(0, len(rows), each)]


def direct(folder: str, n: int, each: int) -> tuple[object, float]:
    """Return the seconds for scoring the same requests one after the other without a server."""
    from training import Estimator

    estimator = Estimator.load(folder)
    estimator.score(propositions(1))
    began = time.monotonic()
    for pairs in requests(n, each):
        estimator.score(pairs)
    return n, time.monotonic() - began


@contextmanager
def served(config: Path) -> Iterator[str]:
    """Run `odds serve` and yield its address."""
    command = [sys.executable, "-m", "flows", "--config", str(config), "serve", "--port", "0"]
    environment = {name: value for name, value in os.environ.items() if name != "ODDS_SERVE_TOKEN"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().split()[3].rstrip(";")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def asked(address: str, clients: int, n: int, each: int) -> tuple[list[float], float]:
    """Return how long each request took with so many clients at once, and the seconds for all."""
    waiting = iter(requests(n, each))

    def client() -> list[float]:
        took = []
        with httpx.Client(base_url=address, trust_env=False, timeout=None) as asking:  # noqa: S113
            for pairs in waiting:
                rows = [{"premise": premise, "hypothesis": hypothesis} for premise, hypothesis in pairs]
                began = time.monotonic()
                answer = asking.post("/score", json={"propositions": rows}).raise_for_status().json()
                took.append(time.monotonic() - began)
                assert len(answer["scores"]) == each
        return took

    with ThreadPoolExecutor(clients) as threads:
        began = time.monotonic()
        parts = [threads.submit(client) for _ in range(clients)]
        took = [seconds for part in parts for seconds in part.result()]
        return took, time.monotonic() - began


def main() -> None:
    """Print the figures as a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=64, help="at least two for each client")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--each", type=int, nargs="+", default=[1, 16], help="propositions per request")
    chosen = parser.parse_args()
    print("| clients | propositions each | requests | requests/s | p50, s | p95, s | propositions/s | direct | ratio |")
    print("|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(estimator_folder(base_folder(Path(scratch, "base")), Path(scratch)))
        config = in_use(Path(scratch, "home"), folder)
        with served(config) as address:
            for each in chosen.each:
                n = max(2, chosen.requests // each)
                ceiling = n * each / measured(direct, str(folder), n, each).seconds
                for clients in chosen.clients:
                    n = max(2 * clients, chosen.requests // each)
                    took, seconds = asked(address, clients, n, each)
                    p50, p95 = (statistics.quantiles(took, n=20, method="inclusive")[place] for place in (9, 18))
                    rate = n * each / seconds
                    figures = [f"{figure:.2f}" for figure in (n / seconds, p50, p95, rate, ceiling, rate / ceiling)]
                    print("|", " | ".join([str(clients), str(each), str(n), *figures]), "|", flush=True)


if __name__ == "__main__":
    main()
