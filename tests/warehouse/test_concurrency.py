"""Many writers and readers at once, each a process of its own, as scheduled flows and researchers are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.store import Place
from warehouse import Warehouse

WORKERS = 8
# A transaction holds as many premises as judgments, and its probabilities sum to 1: a reader that sees half of one
# finds other sums. Four rows stay in the catalog, sixteen become a file.
WRITER = """
import sys, time
from tests.fixtures.store import made_annotator, made_judgment
from warehouse import open_warehouse
from warehouse.records import Premise, premise_id
from warehouse.catalog.store import merge_all
catalog, data_path, name, seconds = sys.argv[1:]
with open_warehouse(catalog, data_path, read_only=False) as warehouse:
    print("ready", flush=True)
    sys.stdin.readline()
    end, number = time.monotonic() + float(seconds), 0
    while time.monotonic() < end:
        count = 16 if number % 4 == 0 else 4
        texts = [f"{name}-{number}-{row}" for row in range(count)]
        premises = [Premise(premise_id=premise_id(text), text=text, source="made-up") for text in texts]
        judgments = [made_judgment(text, "everybody's", 1 / count) for text in texts]
        merge_all(warehouse, [premises, judgments, [made_annotator("everybody's")]])
        number += 1
    print(number, flush=True)
"""
READER = """
import sys, time
from warehouse import open_warehouse
catalog, data_path, name, seconds = sys.argv[1:]
PREMISES = "SELECT count(*) AS premises FROM premises"
JUDGMENTS = "SELECT count(*) AS n, count(DISTINCT judgment_id) AS ids, sum(probability) AS total FROM judgments"
TRANSACTIONS = "SELECT count(DISTINCT regexp_extract(text, '(.*)-', 1)) AS n FROM premises"
ONE = f"SELECT a.*, b.*, c.n AS transactions FROM ({PREMISES}) a, ({JUDGMENTS}) b, ({TRANSACTIONS}) c"

def rows(warehouse):
    if warehouse.at is None:  # one query sees one snapshot
        found = warehouse.sql(ONE).to_pylist()[0]
        return list(found.values())
    judged = warehouse.sql(JUDGMENTS).to_pylist()[0]
    time.sleep(0.05)  # so that writers come in between
    premises, transactions = warehouse.sql(PREMISES)[0][0].as_py(), warehouse.sql(TRANSACTIONS)[0][0].as_py()
    return [premises, *judged.values(), transactions]

def check(seen, before):
    premises, judgments, ids, total, transactions = seen
    assert premises == judgments == ids, seen
    assert (total or 0) == transactions, seen
    assert premises >= before, (seen, before)
    return premises

latest = open_warehouse(catalog, data_path)
print("ready", flush=True)
sys.stdin.readline()
end, number, before = time.monotonic() + float(seconds), 0, 0
while time.monotonic() < end:
    before = check(rows(latest), before)
    with open_warehouse(catalog, data_path, at="opened") as opened:
        before = check(rows(opened), before)
    number += 2
    time.sleep(0.5)  # a reader looks at what it read
print(number, flush=True)
"""


def start(code: str, place: Place, name: str, seconds: float) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, place.catalog, place.data_path, name, str(seconds)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def work(place: Place, seconds: float) -> tuple[int, int]:
    """Let writers and readers work at the same time; how many transactions and reads there were."""
    writers = [start(WRITER, place, f"w{number}", seconds) for number in range(WORKERS)]
    readers = [start(READER, place, f"r{number}", seconds) for number in range(WORKERS)]
    for each in (*writers, *readers):
        assert each.stdout is not None
        if "ready\n" not in each.stdout:
            pytest.fail(each.communicate()[1])
    for each in (*writers, *readers):
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()
    ended = [each.communicate(timeout=seconds + 240) for each in (*writers, *readers)]
    assert [error for _, error in ended if error] == []
    done = [int(said.split()[-1]) for said, _ in ended]
    return sum(done[:WORKERS]), sum(done[WORKERS:])


def nothing_is_lost_or_doubled(warehouse: Warehouse, transactions: int) -> None:
    counted = "SELECT count(*) AS n, count(DISTINCT {}) AS ids FROM {}"
    (premises,) = warehouse.sql(counted.format("premise_id", "premises")).to_pylist()
    (judgments,) = warehouse.sql(counted.format("judgment_id", "judgments")).to_pylist()
    assert premises == judgments
    assert premises["n"] == premises["ids"]
    names = "SELECT count(DISTINCT regexp_extract(text, '(.*)-', 1)) AS n FROM premises"
    assert warehouse.sql(names)["n"][0].as_py() == transactions
    assert warehouse.sql("SELECT sum(probability) AS n FROM judgments")["n"][0].as_py() == transactions
    assert warehouse.sql("SELECT source_id FROM annotators")["source_id"].to_pylist() == ["everybody's"]


@pytest.mark.long
@pytest.mark.parametrize(
    ("place", "seconds"), [("sqlite", 60), ("postgres+s3", 15)], indirect=["place"], ids=["sqlite", "postgres+s3"]
)
def test_eight_writers_and_eight_readers(place: Place, seconds: float) -> None:
    transactions, reads = work(place, seconds)
    print(f"\n{transactions / seconds:.1f} transactions/s, {reads / seconds:.1f} reads/s ({place.data_path[:5]}...)")
    assert transactions >= WORKERS
    assert reads >= WORKERS
    with place.open() as warehouse:
        nothing_is_lost_or_doubled(warehouse, transactions)
