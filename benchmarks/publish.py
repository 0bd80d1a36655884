"""Publishing a training set, beside DuckDB's COPY of the same rows and `datasets.Dataset.from_generator`; in one run.

    python -m benchmarks.publish [rows ...]

Rows are made up by SQL, ten propositions a premise of 15 words. Ours is the whole of `odds publish` with
`warehouse.memory_limit = "1GB"`: near-duplicate groups, fingerprint, licences, sorted shards with their hashes, and the
check of the splits. COPY sorts and writes the same rows under the same limit, and does none of the rest.
`datasets` writes them unsorted through Python rows, and is only asked up to `PEER_LIMIT` rows. Each runs in a process
of its own; its peak memory is the kernel's figure for it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from flows.settings.settings import load_settings
from warehouse import Warehouse, open_warehouse
from warehouse.datasets.publish import ORDER, queries
from warehouse.shards import Recipe, read_manifest

PER_PREMISE = 10
WORDS = 15
SIZES = (1_000_000,)
PEER_LIMIT = 1_000_000
MEMORY = "1GB"
RECIPE = Recipe(consensus="em")

FILL = (
    """
    INSERT INTO premises BY NAME
    SELECT substr(md5('m' || i), 1, 24) AS premise_id, 'benchmark' AS source, 'en' AS language, now() AS created_at,
      list_aggregate(
        list_transform(range({words}), lambda k: 'w' || ((hash(i * {words} + k) % 20000) ** 2 // 20000)::BIGINT),
        'string_agg', ' '
      ) AS text
    FROM range({premises}) t(i)
    """,
    """
    INSERT INTO propositions BY NAME
    SELECT substr(md5('p' || i), 1, 24) AS proposition_id, substr(md5('m' || i // {each}), 1, 24) AS premise_id,
      'hypothesis number ' || i || ' about what may follow' AS hypothesis, 'imported' AS kind, 'benchmark' AS source,
      CASE WHEN hash(i // {each}) % 10 < 7 THEN 'train' WHEN hash(i // {each}) % 10 = 7 THEN 'dev' ELSE 'test' END
        AS split, now() AS created_at
    FROM range({rows}) t(i)
    """,
    """
    INSERT INTO consensus BY NAME
    SELECT substr(md5('c' || i), 1, 24) AS consensus_id, substr(md5('p' || i), 1, 24) AS proposition_id,
      'em' AS method, (hash(i) % 1000) / 1000 AS mean, 0.1 AS sd,
      [((hash(i) + k * 37) % 1000) / 1000 for k in range(5)] AS values, [0.2, 0.2, 0.2, 0.2, 0.2] AS weights,
      5 AS n_judgments, 0 AS n_estimates, 0 AS n_simulated, 1 AS snapshot_id, now() AS created_at
    FROM range({rows}) t(i)
    """,
)


def fill(folder: Path, rows: int) -> Path:
    """Settings of an installation whose warehouse holds so many propositions with a consensus."""
    config = folder / "odds.toml"
    config.write_text(f'[warehouse]\nmemory_limit = "{MEMORY}"\n')
    settings = load_settings(config)
    with open_warehouse(settings.catalog, settings.data_path, read_only=False, memory_limit="4GB") as warehouse:
        for statement in FILL:
            sizes = {"rows": rows, "premises": rows // PER_PREMISE, "each": PER_PREMISE, "words": WORDS}
            warehouse.connection.execute(statement.format(**sizes))
    return config


def ours(config: Path) -> int:
    from flows.publish import publish

    publish.fn(config)
    return sum(read_manifest(config.parent / ".odds" / "datasets" / "odds" / "v1").counts.values())


def copy(config: Path) -> int:
    with _opened(config) as warehouse:
        query = f"SELECT * FROM ({queries(RECIPE)['propositions']}) ORDER BY {ORDER['propositions']}"
        options = "FORMAT parquet, COMPRESSION zstd, PARTITION_BY (split), WRITE_PARTITION_COLUMNS true"
        target = config.parent / "copied"
        (n,) = warehouse.connection.execute(f"COPY ({query}) TO '{target}' ({options})").fetchall()[0]
        return int(n)


def datasets(config: Path) -> int:
    from datasets import Dataset

    made = Dataset.from_generator(_rows, cache_dir=str(config.parent / "cache"), gen_kwargs={"config": str(config)})
    made.to_parquet(str(config.parent / "datasets.parquet"))
    return len(made)


def _rows(config: str) -> Iterator[dict[str, object]]:
    with _opened(Path(config)) as warehouse:
        for batch in warehouse.batches(queries(RECIPE)["propositions"]):
            yield from batch.to_pylist()


def _opened(config: Path) -> Warehouse:
    settings = load_settings(config)
    return open_warehouse(settings.catalog, settings.data_path, memory_limit=MEMORY)


SUBJECTS: dict[str, Callable[[Path], int]] = {"odds": ours, "duckdb": copy, "datasets": datasets}


def child(name: str, config: Path) -> None:
    began = time.perf_counter()
    rows = SUBJECTS[name](config)
    seconds = time.perf_counter() - began
    # VmHWM, and not getrusage: that one also counts what the parent held before this program started.
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(json.dumps({"rows": rows, "seconds": seconds, "gib": int(line.split()[1]) / 2**20}))


def measured(name: str, config: Path) -> str:
    command = [sys.executable, __file__, "--child", name, str(config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return f"failed: {done.stderr.strip().splitlines()[-1][:60]}"
    found = json.loads(done.stdout.splitlines()[-1])
    return f"{found['seconds']:.1f} s, {found['gib']:.2f} GiB"


def main() -> None:
    sizes = [int(size) for size in sys.argv[1:]] or SIZES
    print(f"| {'rows':>10} | {'odds publish':>20} | {'DuckDB COPY':>20} | {'datasets':>20} |")
    print("|---|---|---|---|")
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            config = fill(Path(folder), size)
            asked = [name for name in SUBJECTS if name != "datasets" or size <= PEER_LIMIT]
            cells = [measured(name, config) if name in asked else "not asked" for name in SUBJECTS]
            print(f"| {size:>10,} | " + " | ".join(f"{cell:>20}" for cell in cells) + " |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], Path(sys.argv[3]))
    else:
        main()
