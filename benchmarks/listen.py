"""How long a judgment takes from Label Studio to the warehouse while `odds listen` runs.

    python -m benchmarks.listen [--hooks 20] [--tasks 500]

A Label Studio started for this run calls the webhook of `odds listen --register`. Each annotation is submitted once the
one before is in the warehouse. Time counts from Label Studio's answer, which the annotator's page waits for, until a
query finds the judgment; it is asked every 20 ms. Then 20 are submitted one right after the other. `odds listen` itself
waits one second for more hooks before it pulls.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.sync import answer, installation, label_studio, sdk, usable
from flows.push import push
from flows.settings.settings import load_settings
from warehouse import open_warehouse

EVERY_S = 0.02
BURST = 20


@contextmanager
def listening(config: Path) -> Iterator[None]:
    """Run `odds listen --register` until the end of the block."""
    command = [sys.executable, "-m", "flows", "--config", str(config), "listen", "--register", "--port", "0"]
    environment = os.environ | {"PREFECT_API_URL": ""}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout is not None
        if not process.stdout.readline().startswith("listening"):
            raise SystemExit("odds listen did not start")
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hooks", type=int, default=20, help="annotations that are submitted one after the other")
    parser.add_argument("--tasks", type=int, default=500, help="tasks of the project")
    options = parser.parse_args()
    with label_studio() as (home, url):
        config = installation(home, url, "listen", options.tasks)
        push(config)
        client = sdk(url)
        with open_warehouse(load_settings(config).catalog) as warehouse, listening(config):
            (number,) = warehouse.sql("SELECT number FROM studio_projects")["number"].to_pylist()
            tasks = [int(row) for row in warehouse.sql("SELECT source_id FROM tasks")["source_id"].to_pylist()]
            positions = usable(range(len(tasks)))[: options.hooks + BURST]

            def waited(wanted: int, since: float) -> float:
                """Wait until so many judgments are there, and return the seconds since then."""
                while warehouse.sql("SELECT count(*) AS n FROM judgments")["n"][0].as_py() < wanted:
                    time.sleep(EVERY_S)
                return time.monotonic() - since

            time.sleep(5)  # the pull at the start
            seconds = []
            for done, position in enumerate(positions[: options.hooks], start=1):
                client.annotations.create(tasks[position], **answer(position))
                seconds.append(waited(done, time.monotonic()))
            for position in positions[options.hooks :]:
                client.annotations.create(tasks[position], **answer(position))
            burst = waited(len(positions), time.monotonic())
    print(f"project {number} of {len(tasks):,} tasks, {options.hooks} submitted one after the other:")
    print(f"median {statistics.median(seconds):.2f} s, worst {max(seconds):.2f} s, least {min(seconds):.2f} s")
    print(f"{BURST} submitted as fast as the server takes them: the last is there {burst:.2f} s after it was submitted")


if __name__ == "__main__":
    main()
