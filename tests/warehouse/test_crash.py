"""A writer that is killed, at any point, leaves a warehouse that holds whole transactions and nothing else."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from tests.fixtures.store import Place, made_annotator, on_sqlite
from warehouse.catalog.maintenance import maintain
from warehouse.catalog.store import merge

KILLS = 50
SUICIDES = range(4, KILLS, 10)
# One process loads everything once and then forks a writer for each line that it reads. A writer names each
# transaction that was committed; `die` kills it in the middle of its third one.
NURSERY = """
import os, signal, sys
from tests.fixtures.store import made_annotator, made_judgment
from warehouse import open_warehouse
from warehouse.catalog import connect
from warehouse.catalog import store
from warehouse.records import Premise, premise_id
from warehouse.catalog.store import merge_all

def write(catalog, data_path, run, die):
    with open_warehouse(catalog, data_path, read_only=False) as warehouse:
        print("open", flush=True)
        for number in range(100_000):
            tag = f"{run}-{number}"
            if die and number == 2:
                real = store._merge_staged
                def merged(w, record):
                    done = real(w, record)
                    if record.table == "judgments":
                        os.kill(os.getpid(), signal.SIGKILL)
                    return done
                store._merge_staged = merged
            texts = [f"{tag}-{i}" for i in range(3)]
            premises = [Premise(premise_id=premise_id(text), text=text, source="made-up") for text in texts]
            judgments = [made_judgment(f"{tag}-{i}", tag, 0.5) for i in range(12)]
            merge_all(warehouse, [judgments, premises, [made_annotator(tag)]])
            print(tag, flush=True)

for line in sys.stdin:
    run, die = line.split()
    child = os.fork()
    if child == 0:
        try:
            write(*sys.argv[1:], run, die == "die")
        finally:
            os._exit(1)
    print(child, flush=True)
    os.waitpid(child, 0)
    print("ended", flush=True)
"""
# Of each transaction: its rows in each of the three tables.
VISIBLE = """
SELECT tag, sum(j)::INTEGER AS judgments, sum(p)::INTEGER AS premises, sum(a)::INTEGER AS annotators FROM (
  SELECT regexp_extract(source_id, '/(.*)', 1) AS tag, 1 AS j, 0 AS p, 0 AS a FROM judgments
  UNION ALL SELECT regexp_extract(text, '(.*)-', 1), 0, 1, 0 FROM premises
  UNION ALL SELECT source_id, 0, 0, 1 FROM annotators
) GROUP BY tag
"""


def run_and_kill(nursery: subprocess.Popen[str], run: int, chance: random.Random) -> set[str]:
    """Start a writer and kill it after a while; the transactions that it named."""
    assert nursery.stdin is not None
    assert nursery.stdout is not None
    suicide = run in SUICIDES
    nursery.stdin.write(f"{run} {'die' if suicide else 'live'}\n")
    nursery.stdin.flush()
    lines = [nursery.stdout.readline().strip()]
    if run % 5 == 0 and not suicide:  # while it opens the catalog
        time.sleep(chance.uniform(0, 0.4))
    else:
        while "open" not in lines:
            lines.append(nursery.stdout.readline().strip())
        time.sleep(chance.uniform(0, 0.5))
    if not suicide:
        os.kill(next(int(line) for line in lines if line.isdecimal()), signal.SIGKILL)
    while lines[-1] != "ended":
        lines.append(nursery.stdout.readline().strip())
    return {line for line in lines if "-" in line}


def unknown_files(place: Place) -> set[str]:
    """The parquet files on the disk that the catalog does not name, as SQLite and the file system say it."""
    with closing(sqlite3.connect(place.catalog)) as catalog:
        known = {
            Path(path).name
            for table in ("ducklake_data_file", "ducklake_delete_file", "ducklake_files_scheduled_for_deletion")
            for (path,) in catalog.execute(f"SELECT path FROM {table}")
        }
    return {path.name for path in Path(place.data_path).rglob("*.parquet")} - known


@pytest.mark.long
@on_sqlite
def test_fifty_killed_writers_leave_whole_transactions_and_orphans_that_are_cleaned(place: Place) -> None:
    chance = random.Random(20261123)
    acknowledged: set[str] = set()
    command = [sys.executable, "-c", NURSERY, place.catalog, place.data_path]
    root = str(Path(__file__).resolve().parents[2])
    with subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": root}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as nursery:
        for run in range(KILLS):
            acknowledged |= run_and_kill(nursery, run, chance)
            with place.open(read_only=False) as warehouse:
                visible = {row.pop("tag"): row for row in warehouse.sql(VISIBLE).to_pylist()}
            broken = {tag: row for tag, row in visible.items() if list(row.values()) != [12, 3, 1]}
            assert broken == {}, f"run {run}"
            assert acknowledged <= visible.keys(), f"run {run}"
            own = sorted(int(tag.partition("-")[2]) for tag in visible if tag.startswith(f"{run}-"))
            assert own == list(range(len(own)))
            if run in SUICIDES:
                assert own == [0, 1]
    assert acknowledged

    orphans = unknown_files(place)
    assert len(orphans) >= len(SUICIDES)
    with place.open(read_only=False) as warehouse:
        assert maintain(warehouse, timedelta(0), timedelta(0)).orphan_files == len(orphans)
        after = {row.pop("tag"): row for row in warehouse.sql(VISIBLE).to_pylist()}
        assert after == visible
        assert merge(warehouse, [made_annotator("after")]).inserted == 1
    assert unknown_files(place) == set()
