"""What a published training set holds: the consensus of each proposition with its texts and its raw judgments."""

from __future__ import annotations

import pyarrow as pa

from warehouse.connect import Warehouse
from warehouse.records import ConsensusMethod, content_id
from warehouse.shards import SHARD_SCHEMA

ROWS = """
SELECT
  p.proposition_id, p.premise_id, m.text AS premise, p.hypothesis, p.kind, p.source, p.split,
  c.mean, c.sd, c.values, c.weights, c.n_judgments::INTEGER AS n_judgments, c.n_simulated::INTEGER AS n_simulated
FROM consensus c
JOIN propositions p ON p.proposition_id = c.proposition_id
JOIN premises m ON m.premise_id = p.premise_id
WHERE c.method = ?
"""


def publish_rows(warehouse: Warehouse, method: ConsensusMethod) -> pa.RecordBatchReader:
    """The rows of a training set (`SHARD_SCHEMA`) as a stream of batches, always in the same order."""
    reader = warehouse.batches(f"{ROWS} ORDER BY p.proposition_id", [method])
    return pa.RecordBatchReader.from_batches(
        SHARD_SCHEMA, (pa.record_batch(batch.columns, schema=SHARD_SCHEMA) for batch in reader)
    )


def dataset_fingerprint(warehouse: Warehouse, method: ConsensusMethod) -> str:
    """A hash of the content of a training set, in one scan: the same rows give the same, in whatever order.

    The sum of the 64-bit hashes of the rows, with their number: two sets that differ in one row differ.
    """
    query = (
        f"SELECT count(*) AS n, sum(md5_number_lower(to_json(r)::VARCHAR)::HUGEINT)::VARCHAR AS total FROM ({ROWS}) r"
    )
    row = warehouse.sql(query, [method]).to_pylist()[0]
    return content_id("rows", str(row["n"]), row["total"] or "")
