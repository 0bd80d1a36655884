"""What is still to be asked, as streams: a million propositions never become a list.

When its first row is taken, a stream notes the ids of everything pending, in a stable order; later writes are left to
the next stream. Texts are fetched in batches: holding a million in order took 300 MB. Estimates, the largest stream,
come page by page instead, because merely sorting a million ids takes 200 MB.

Rows of one premise follow each other, so that a server that caches the start of a prompt reads the premise once. Each
`count_...` function returns how many rows the stream of the same name has.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import pyarrow as pa

from warehouse.catalog.connect import Warehouse
from warehouse.catalog.low_memory import FreeMemory
from warehouse.catalog.schema import arrow_schema
from warehouse.queries import parents
from warehouse.queries.pending_sql import (
    COMPARISONS,
    DISAGREEMENTS,
    ESTIMATED,
    PAGE_OF_ESTIMATES,
    PAGE_OF_PROPOSITIONS,
    PARENTS,
    PREMISES,
)
from warehouse.records import Disagreement, Pair, PanelAnswer, Parent, Premise, PremiseToPropose, PropositionText

T = TypeVar("T")

ROWS = 65_536  # rows to fetch the texts of at once: fewer take less memory and more time
AT_ONCE = 2048  # rows to turn into Python objects at once

PREMISE = ", ".join(f"m.{name}" for name in arrow_schema(Premise).names)
CONJUNCTION = "conjunction"
PAGE = 8192  # pending propositions on a page, about
RANGE = 65_536  # propositions that a page searches, about
BEHIND_ALL = chr(0x10FFFF)  # sorts after every id


@dataclass(frozen=True)
class _Query:
    """What is pending: a query from FROM on, its parameters, the columns of ids, and the order."""

    pending: str
    params: Sequence[object]
    ids: str
    order: str

    def count(self, warehouse: Warehouse) -> int:
        return int(warehouse.value(f"SELECT count(*) {self.pending}", self.params))

    def batches(
        self, warehouse: Warehouse, texts: str, tables: Sequence[str] = (), at_once: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Run the query `texts` for the pending rows, some at a time.

        Its table `wanted` has the ids and the `place` of these rows. `tables` are statements to run before it, and
        `at_once` is how many rows to take, at most ROWS.
        """
        # The caller writes between two rows, maybe from another thread, so this needs its own connection.
        with warehouse.beside() as own:
            ids = own.sql(f"SELECT {self.ids} {self.pending} ORDER BY {self.order}", self.params)
            rows = min(ROWS, at_once or ROWS)
            for start in range(0, ids.num_rows, rows):
                some = ids.slice(start, rows)
                places = pa.array(range(some.num_rows), pa.int64())
                with own.given(wanted=some.append_column("place", places)):
                    for table in tables:
                        own.connection.execute(table)
                    found = own.sql(f"{texts} ORDER BY q.place")
                yield from found.to_batches(max_chunksize=AT_ONCE)


def pending_premises(
    warehouse: Warehouse, asker: str, asker_version: str, model: str, prompt_version: str
) -> Iterator[PremiseToPropose]:
    """Yield premises that this version of a proposer has not finished, with the hypotheses of each.

    A premise is finished when a reply came, readable or not, and no request about it failed. Premises that a proposer
    wrote, such as strengthened ones, are left out.
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
    """Count the premises of `pending_premises`."""
    return _premises(asker, asker_version, model, prompt_version).count(warehouse)


def pending_estimates(warehouse: Warehouse, labeler: str, labeler_version: str) -> Iterator[PropositionText]:
    """Yield propositions for which this version of a labeler has no estimate, not even one without a probability."""
    # Each page is a range of premises: sorting a million ids would take more memory than all the rest. Meanwhile only
    # estimates of earlier pages are written, and new propositions, which may as well be asked about now.
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
    """How many pages keep both the result and the range of each small; 0 if nothing is pending."""
    pending = count_estimates(warehouse, labeler, labeler_version)
    among = int(warehouse.value("SELECT count(*) FROM propositions"))
    return max(-(-pending // PAGE), -(-among // RANGE)) if pending else 0


def one_ahead(items: Generator[T, None, None]) -> Generator[T, None, None]:
    """Yield the items while a thread prepares the next one."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="ahead") as thread:
        coming = thread.submit(next, items, None)
        try:
            while (item := coming.result()) is not None:
                coming = thread.submit(next, items, None)
                yield item
        finally:
            wait([coming])
            # Not in the thread: it takes nothing more if an error kept this generator until the process ends.
            items.close()


def count_estimates(warehouse: Warehouse, labeler: str, labeler_version: str) -> int:
    """Count the propositions of `pending_estimates`."""
    query = f"SELECT count(*) FROM propositions ANTI JOIN ({ESTIMATED}) USING (proposition_id)"
    return int(warehouse.value(query, [labeler, labeler_version]))


def pending_parents(
    warehouse: Warehouse, kind: str, *, asker: str, asker_version: str, model: str, prompt: str, prompt_version: str
) -> Iterator[Parent]:
    """Yield proposed and imported propositions that this version of a proposer has not finished.

    `kind` is what to derive from them. For a conjunction, each comes with the next proposition of its premise, by id
    and in a circle; a premise with two propositions makes one conjunction.
    """
    built = parents.Parents(with_other=kind == CONJUNCTION)
    pending = _parents(kind, asker, asker_version, model, prompt_version, prompt)
    for batch in pending.batches(warehouse, parents.TEXTS, parents.TABLES, parents.ROWS):
        yield from built.of(batch)


def count_parents(
    warehouse: Warehouse, kind: str, *, asker: str, asker_version: str, model: str, prompt: str, prompt_version: str
) -> int:
    """Count the propositions of `pending_parents`."""
    return _parents(kind, asker, asker_version, model, prompt_version, prompt).count(warehouse)


def pending_disagreements(
    warehouse: Warehouse, judge: str, judge_version: str, threshold: float, labelers: Sequence[str]
) -> Iterator[Disagreement]:
    """Yield propositions whose panel disagrees: highest minus lowest probability exceeds `threshold`.

    Only estimates of `labelers` with a probability count. A proposition stays pending until this version of the judge
    has a verdict, with or without a confidence, on each of these estimates.
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
    """Count the propositions of `pending_disagreements`."""
    return _disagreements(judge, judge_version, threshold, labelers).count(warehouse)


def pending_comparisons(warehouse: Warehouse, labeler: str, labeler_version: str, compared_with: int) -> Iterator[Pair]:
    """Yield pairs that this version of a labeler has not compared, with or without success; each unordered pair once.

    The propositions of a premise form a circle by id, and each is compared with the next `compared_with`. A
    strengthened or weakened proposition is also compared with the one it was derived from.
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
    """Count the pairs of `pending_comparisons`."""
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
    """The propositions of a batch. They were validated when they were written."""
    columns = (batch[name].to_pylist() for name in (proposition_id, premise, hypothesis))
    for one, text, statement in zip(*columns, strict=True):
        yield PropositionText.model_construct(proposition_id=one, premise=text, hypothesis=statement)
