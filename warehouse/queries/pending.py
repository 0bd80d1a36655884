"""What is still to be asked, as streams: a million propositions never become a list.

When its first row is taken, a stream notes the ids of all that is pending, in a stable order; what is written meanwhile
is the next stream's matter. Texts are fetched some thousands at a time: holding a million in order took 300 MB.
Estimates, of which there are most, come page by page instead: even to sort the ids of a million takes 200 MB.

Rows of one premise stand together: a server that keeps the beginning of a prompt then reads the premise once. Each
`count_...` says how many rows the stream of the same name would give.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import pyarrow as pa

from warehouse.catalog.connect import Warehouse
from warehouse.catalog.low_memory import FreeMemory
from warehouse.catalog.schema import arrow_schema
from warehouse.queries import parents
from warehouse.records import Disagreement, Pair, PanelAnswer, Parent, Premise, PremiseToPropose, PropositionText

T = TypeVar("T")

ROWS = 65_536  # rows whose texts are fetched at once: fewer take less memory and more time
AT_ONCE = 2048  # rows that are Python objects at once

PREMISE = ", ".join(f"m.{name}" for name in arrow_schema(Premise).names)
CONJUNCTION = "conjunction"

# Asked about to the end by this version: a reply came, and no request of it failed. Requests from before there were
# versions count by model and prompt, since more of them is not known.
ASKED = """
SELECT subject_id FROM requests WHERE purpose = 'propose' AND labeler = ?
  AND (asker_version = ? OR (asker_version IS NULL AND model = ? AND prompt_version = ? {more}))
GROUP BY subject_id, asker_version HAVING count(*) FILTER (status = 'failed') = 0
"""
# Premises that a proposer wrote itself: to propose for those too would make more of them at every run.
WRITTEN = """
SELECT p.premise_id, p.source FROM propositions p JOIN propositions parent ON parent.proposition_id = p.parent_id
WHERE p.premise_id <> parent.premise_id
"""
PREMISES = f"""
FROM premises q ANTI JOIN ({ASKED.format(more="")}) a ON a.subject_id = q.premise_id
ANTI JOIN ({WRITTEN}) w ON w.premise_id = q.premise_id AND w.source = q.source
"""
ESTIMATED = "SELECT proposition_id FROM estimates WHERE labeler = ? AND labeler_version = ?"
# Ids are hexadecimal hashes: a range of them is an even share.
BEHIND_ALL = chr(0x10FFFF)
# A table, because its size is known: DuckDB then keeps the page in memory and streams the estimates past it. The other
# way round, as it guesses for two subqueries, a page would take 70 MB at a million estimates.
PAGE_OF_PROPOSITIONS = """
CREATE OR REPLACE TEMPORARY TABLE temp.main.page AS
SELECT proposition_id, premise_id, hypothesis FROM propositions WHERE premise_id >= ? AND premise_id < ?
"""
PAGE_OF_ESTIMATES = f"""
SELECT p.proposition_id, m.text AS premise, p.hypothesis
FROM temp.main.page p ANTI JOIN ({ESTIMATED}) e ON e.proposition_id = p.proposition_id
JOIN (SELECT premise_id, text FROM premises WHERE premise_id >= ? AND premise_id < ?) m
  ON m.premise_id = p.premise_id
ORDER BY p.premise_id, p.proposition_id
"""
PAGE = 8192  # pending propositions, about, and
RANGE = 65_536  # propositions, about, that a page looks among
# What stands beside a proposition is the next one of its premise, in a circle; of two the second has no other of its
# own, or both would make the same conjunction.
PLACED = """
SELECT
  proposition_id, premise_id, count(*) OVER one AS n,
  row_number() OVER (PARTITION BY premise_id ORDER BY proposition_id) AS place,
  coalesce(
    lead(proposition_id) OVER (PARTITION BY premise_id ORDER BY proposition_id), min(proposition_id) OVER one
  ) AS other_id
FROM propositions WHERE kind IN ('proposed', 'imported') WINDOW one AS (PARTITION BY premise_id)
"""
PARENTS = f"""
FROM ({PLACED}) q ANTI JOIN ({ASKED.format(more="AND prompt = ?")}) a ON a.subject_id = q.proposition_id
WHERE NOT ? OR q.n > 2 OR (q.n = 2 AND q.place = 1)
"""
DISAGREEMENTS = """
FROM (
  SELECT e.proposition_id, list(e.estimate_id ORDER BY e.labeler) AS estimate_ids
  FROM current_estimates e LEFT JOIN (
    SELECT estimate_id FROM verdicts WHERE judge = ? AND judge_version = ?
  ) v ON v.estimate_id = e.estimate_id
  WHERE e.in_panel AND e.probability IS NOT NULL AND list_contains(?::VARCHAR[], e.labeler)
  GROUP BY e.proposition_id
  HAVING max(e.probability) - min(e.probability) > ? AND count(v.estimate_id) < count(*)
) q JOIN propositions p ON p.proposition_id = q.proposition_id
"""
COMPARISONS = """
FROM (
  WITH placed AS (
    SELECT
      proposition_id, premise_id, count(*) OVER (PARTITION BY premise_id) AS n,
      row_number() OVER (PARTITION BY premise_id ORDER BY proposition_id) - 1 AS place
    FROM propositions
  ), beside AS (
    SELECT one.proposition_id AS a, other.proposition_id AS b
    FROM (SELECT *, unnest(range(1, least(?::BIGINT, n - 1) + 1)) AS step FROM placed WHERE n > 1) one
    JOIN placed other ON other.premise_id = one.premise_id AND other.place = (one.place + one.step) % one.n
    UNION ALL
    SELECT proposition_id, parent_id FROM propositions
    WHERE kind IN ('strengthened', 'weakened') AND parent_id IN (SELECT proposition_id FROM propositions)
  )
  SELECT DISTINCT least(a, b) AS first_id, greatest(a, b) AS second_id FROM beside
) q JOIN propositions p ON p.proposition_id = q.first_id ANTI JOIN (
  SELECT first_id, second_id FROM comparisons WHERE labeler = ? AND labeler_version = ?
) done ON done.first_id = q.first_id AND done.second_id = q.second_id
"""


@dataclass(frozen=True)
class _Query:
    """What is pending, as the end of a query that begins with FROM, its parameters, the ids that tell it, an order."""

    pending: str
    params: Sequence[object]
    ids: str
    order: str

    def count(self, warehouse: Warehouse) -> int:
        return int(warehouse.sql(f"SELECT count(*) AS n {self.pending}", self.params)["n"][0].as_py())

    def batches(
        self, warehouse: Warehouse, texts: str, tables: Sequence[str] = (), at_once: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The rows of the query `texts`, whose table `wanted` has the ids and the `place` of some pending rows.

        `tables` make the temporary tables that it reads; `at_once` is how many rows are fetched at once, if not ROWS.
        """
        # A connection of its own: the caller writes between two rows, maybe from another thread.
        with warehouse.beside() as own:
            ids = own.sql(f"SELECT {self.ids} {self.pending} ORDER BY {self.order}", self.params)
            rows = min(ROWS, at_once or ROWS)
            for start in range(0, ids.num_rows, rows):
                some = ids.slice(start, rows)
                places = pa.array(range(some.num_rows), pa.int64())
                own.connection.register("wanted", some.append_column("place", places))
                for table in tables:
                    own.connection.execute(table)
                found = own.sql(f"{texts} ORDER BY q.place")
                own.connection.unregister("wanted")
                yield from found.to_batches(max_chunksize=AT_ONCE)


def pending_premises(
    warehouse: Warehouse, asker: str, asker_version: str, model: str, prompt_version: str
) -> Iterator[PremiseToPropose]:
    """Premises that this version of a proposer has not been asked about to the end, with the hypotheses of each.

    To the end means: a reply came, readable or not, and no request about the premise failed. Premises that a proposer
    wrote, such as a strengthened one, are left out.
    """
    texts = f"""
        SELECT {PREMISE}, known.ids, known.hypotheses, known.requests, known.split
        FROM wanted q JOIN premises m ON m.premise_id = q.premise_id LEFT JOIN (
          SELECT
            p.premise_id, list(proposition_id ORDER BY proposition_id) AS ids, min(s.split) AS split,
            list(hypothesis ORDER BY proposition_id) AS hypotheses, list(request_id ORDER BY proposition_id) AS requests
          FROM (FROM propositions SEMI JOIN wanted USING (premise_id)) p JOIN splits s USING (proposition_id)
          GROUP BY p.premise_id
        ) known ON known.premise_id = m.premise_id
    """
    for batch in _premises(asker, asker_version, model, prompt_version).batches(warehouse, texts):
        for row in batch.to_pylist():
            ids, hypotheses, requests = (row.pop(name) or [] for name in ("ids", "hypotheses", "requests"))
            known = dict(zip(ids, hypotheses, strict=True))
            written_by = {one: request for one, request in zip(ids, requests, strict=True) if request is not None}
            split = row.pop("split")
            premise = Premise.model_construct(**row)
            yield PremiseToPropose.model_construct(premise=premise, known=known, written_by=written_by, split=split)


def count_premises(warehouse: Warehouse, asker: str, asker_version: str, model: str, prompt_version: str) -> int:
    """How many premises `pending_premises` gives."""
    return _premises(asker, asker_version, model, prompt_version).count(warehouse)


def pending_estimates(warehouse: Warehouse, labeler: str, labeler_version: str) -> Iterator[PropositionText]:
    """Propositions that this version of a labeler has no estimate for, not even one without a probability."""
    # Page by page, a range of premises each: sorting a million ids would take more memory than all the rest. What is
    # written meanwhile are estimates of pages gone by, and propositions that may as well be asked about now.
    for page in one_ahead(_pages(warehouse, labeler, labeler_version)):
        for batch in page.to_batches(max_chunksize=AT_ONCE):
            yield from _texts(batch, "proposition_id", "premise", "hypothesis")


def _pages(warehouse: Warehouse, labeler: str, labeler_version: str) -> Generator[pa.Table, None, None]:
    with warehouse.beside() as own:
        memory = FreeMemory(own)
        pages = _number_of_pages(own, labeler, labeler_version)
        edges = [f"{16**6 * page // pages:06x}" for page in range(1, pages)]
        for low, high in pairwise(["", *edges, BEHIND_ALL] if pages else []):
            own.connection.execute(PAGE_OF_PROPOSITIONS, [low, high])
            page = own.sql(PAGE_OF_ESTIMATES, [labeler, labeler_version, low, high])
            memory.give_back()
            yield page


def _number_of_pages(warehouse: Warehouse, labeler: str, labeler_version: str) -> int:
    """As many as keep both what a page gives and what it looks among small; none where nothing is pending."""
    pending = count_estimates(warehouse, labeler, labeler_version)
    among = int(warehouse.sql("SELECT count(*) AS n FROM propositions")["n"][0].as_py())
    return max(-(-pending // PAGE), -(-among // RANGE)) if pending else 0


def one_ahead(items: Generator[T, None, None]) -> Generator[T, None, None]:
    """The items, the next of which is made in a thread of its own while one is used."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="ahead") as thread:
        coming = thread.submit(next, items, None)
        try:
            while (item := coming.result()) is not None:
                coming = thread.submit(next, items, None)
                yield item
        finally:
            thread.submit(items.close).result()


def count_estimates(warehouse: Warehouse, labeler: str, labeler_version: str) -> int:
    """How many propositions `pending_estimates` gives."""
    query = f"SELECT count(*) AS n FROM propositions ANTI JOIN ({ESTIMATED}) USING (proposition_id)"
    return int(warehouse.sql(query, [labeler, labeler_version])["n"][0].as_py())


def pending_parents(
    warehouse: Warehouse, kind: str, *, asker: str, asker_version: str, model: str, prompt: str, prompt_version: str
) -> Iterator[Parent]:
    """Propositions, proposed or imported, that this version of a proposer has not been asked about to the end.

    `kind` is what is to be made of them, and what the version is for. For a conjunction each comes with the next one of
    its premise, in the order of their ids and in a circle: a premise with two makes one conjunction, one with one none.
    """
    built = parents.Parents(with_other=kind == CONJUNCTION)
    pending = _parents(kind, asker, asker_version, model, prompt_version, prompt)
    for batch in pending.batches(warehouse, parents.TEXTS, parents.TABLES, parents.ROWS):
        yield from built.of(batch)


def count_parents(
    warehouse: Warehouse, kind: str, *, asker: str, asker_version: str, model: str, prompt: str, prompt_version: str
) -> int:
    """How many propositions `pending_parents` gives."""
    return _parents(kind, asker, asker_version, model, prompt_version, prompt).count(warehouse)


def pending_disagreements(
    warehouse: Warehouse, judge: str, judge_version: str, threshold: float, labelers: Sequence[str]
) -> Iterator[Disagreement]:
    """Propositions whose panel disagrees: the highest minus the lowest probability is more than `threshold`.

    Of each of the `labelers` its estimate in the panel counts, where it has a probability. A proposition comes while
    this version of the judge has no verdict, not even one without a confidence, on at least one of these estimates.
    """
    texts = """
        SELECT
          q.proposition_id, any_value(m.text) AS premise, any_value(p.hypothesis) AS hypothesis,
          list({estimate_id: e.estimate_id, labeler: e.labeler, probability: e.probability, reasoning: e.reasoning}
            ORDER BY e.labeler) AS answers
        FROM (SELECT place, proposition_id, unnest(estimate_ids) AS estimate_id FROM wanted) q
        JOIN estimates e ON e.estimate_id = q.estimate_id
        JOIN propositions p ON p.proposition_id = q.proposition_id
        JOIN premises m ON m.premise_id = p.premise_id
        GROUP BY q.place, q.proposition_id
    """
    for batch in _disagreements(judge, judge_version, threshold, labelers).batches(warehouse, texts):
        for row in batch.to_pylist():
            answers = [PanelAnswer.model_construct(**answer) for answer in row.pop("answers")]
            yield Disagreement.model_construct(proposition=PropositionText.model_construct(**row), answers=answers)


def count_disagreements(
    warehouse: Warehouse, judge: str, judge_version: str, threshold: float, labelers: Sequence[str]
) -> int:
    """How many propositions `pending_disagreements` gives."""
    return _disagreements(judge, judge_version, threshold, labelers).count(warehouse)


def pending_comparisons(warehouse: Warehouse, labeler: str, labeler_version: str, compared_with: int) -> Iterator[Pair]:
    """Pairs that this version of a labeler has not compared, not even in vain; each unordered pair once.

    The propositions of a premise stand in a circle in the order of their ids, and each is set beside the next
    `compared_with`. A strengthened or weakened proposition is set beside the one that it was made from as well.
    """
    texts = """
        SELECT
          q.first_id, fm.text AS first_premise, f.hypothesis AS first_hypothesis,
          q.second_id, sm.text AS second_premise, s.hypothesis AS second_hypothesis
        FROM wanted q
        JOIN propositions f ON f.proposition_id = q.first_id JOIN premises fm ON fm.premise_id = f.premise_id
        JOIN propositions s ON s.proposition_id = q.second_id JOIN premises sm ON sm.premise_id = s.premise_id
    """
    for batch in _comparisons(labeler, labeler_version, compared_with).batches(warehouse, texts):
        firsts = _texts(batch, "first_id", "first_premise", "first_hypothesis")
        seconds = _texts(batch, "second_id", "second_premise", "second_hypothesis")
        for first, second in zip(firsts, seconds, strict=True):
            yield Pair.model_construct(first=first, second=second)


def count_comparisons(warehouse: Warehouse, labeler: str, labeler_version: str, compared_with: int) -> int:
    """How many pairs `pending_comparisons` gives."""
    return _comparisons(labeler, labeler_version, compared_with).count(warehouse)


def _premises(*asker: str) -> _Query:
    return _Query(PREMISES, asker, "q.premise_id", "q.created_at, q.premise_id")


def _parents(kind: str, *asker: str) -> _Query:
    params = [*asker, kind == CONJUNCTION]
    return _Query(PARENTS, params, "q.proposition_id, q.other_id", "q.premise_id, q.proposition_id")


def _disagreements(judge: str, judge_version: str, threshold: float, labelers: Sequence[str]) -> _Query:
    params = [judge, judge_version, list(labelers), threshold]
    return _Query(DISAGREEMENTS, params, "q.proposition_id, q.estimate_ids", "p.premise_id, q.proposition_id")


def _comparisons(labeler: str, labeler_version: str, compared_with: int) -> _Query:
    params = [compared_with, labeler, labeler_version]
    return _Query(COMPARISONS, params, "q.first_id, q.second_id", "p.premise_id, q.first_id, q.second_id")


def _texts(batch: pa.RecordBatch, proposition_id: str, premise: str, hypothesis: str) -> Iterator[PropositionText]:
    """The propositions of a batch, not checked again: that was done when they were written."""
    columns = (batch[name].to_pylist() for name in (proposition_id, premise, hypothesis))
    for one, text, statement in zip(*columns, strict=True):
        yield PropositionText.model_construct(proposition_id=one, premise=text, hypothesis=statement)
