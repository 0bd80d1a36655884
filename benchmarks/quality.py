"""How good an estimator becomes on public data: import, publish, train, and measure on held-out premises.

    python -m benchmarks.quality DATA [--work FOLDER] [--minutes 50] [--settings FILE] [--evaluate-only] [--export TO]

DATA has the public sets as parquet files, in the folders and with the columns that `SETS` names. A premise is held out
by its hash, a fifth of them; JOCI's own dev set is held out whole. Held-out items become suites, which are imported
first, so that near-duplicates of their premises are not trained on either. `--settings` is a file of settings;
without it, those of the small pretrained estimator's first fit. `--export` writes the estimator as the pretrained ones
are kept, with an adapter of `--rank` if that is given. What each run gave stands in benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flows.agree import agree
from flows.evaluate_suites import evaluate_suites, result_table
from flows.imports import import_choices, import_judgments, import_propositions
from flows.models import models
from flows.publish import publish
from flows.settings.settings import Settings, load_settings
from flows.suites import import_suite
from flows.terminal.console import out
from flows.train import train
from warehouse.records import premise_id, split_of

RECIPE = """
[publish]
pairs_weight = 0.5

[training]
kind = "encoder"
base = "embedded"
tuning = "lora"
lora_rank = 32
lora_alpha = 64
learning_rate = 1e-3
batch_size = 32
epochs = 2
max_length = 128
pair_rate = 2.0
margin_weight = 5.0
dev_rows = 600
max_minutes = {minutes}
"""
"""The recipe of the small pretrained estimator."""


class PublicSet(NamedTuple):
    """A public set: its file, its format, the function that imports it, and the file that is held out whole, if any."""

    file: str
    format: str
    importer: Any
    held_out: str | None = None


SETS = {
    "nli-variation": PublicSet("nli_variation/judgments.parquet", "nli-variation", import_judgments),
    "joci": PublicSet("joci/train.parquet", "joci", import_judgments, "joci/dev.parquet"),
    "commitment-bank": PublicSet("commitment_bank/responses.parquet", "commitment-bank", import_judgments),
    "defeasible-snli": PublicSet("defeasible_snli/dev.parquet", "defeasible", import_propositions),
    "defeasible-atomic": PublicSet("defeasible_atomic/dev.parquet", "defeasible", import_propositions),
    "ecare": PublicSet("ecare/dev.parquet", "ecare", import_choices),
}


def parted(table: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Return the rows of a table to train on, and those whose premise is held out by its hash."""
    held_out = pa.array([split_of(premise_id(premise)) == "test" for premise in table["premise"].to_pylist()])
    return table.filter(pc.invert(held_out)), table.filter(held_out)


def with_split(table: pa.Table) -> pa.Table:
    """Return rows to train on with the split of their premise: what would be its test split trains too.

    Nothing is measured on that split here, since the suites are held out already.
    """
    splits = ["dev" if split_of(premise_id(one)) == "dev" else "train" for one in table["premise"].to_pylist()]
    return table.append_column("split", pa.array(splits))


def prepare(data: Path, settings: Settings, folder: Path) -> None:
    """Import the suites and what is trained on, and publish it."""
    trained: dict[str, Path] = {}
    for name, each in SETS.items():
        rows, held_out = parted(pq.read_table(data / each.file))
        if each.held_out:
            rows, held_out = pq.read_table(data / each.file), pq.read_table(data / each.held_out)
        trained[name], suite = folder / f"{name}.parquet", folder / f"{name}-test.parquet"
        pq.write_table(with_split(rows), trained[name])
        pq.write_table(held_out, suite)
        print(import_suite(suite, name, config=settings, format_=each.format).line(), flush=True)  # type: ignore[arg-type]
    for name, file in trained.items():
        print(SETS[name].importer(file, config=settings, source=name, format_=SETS[name].format).line(), flush=True)
    print(agree.fn(settings).line(), publish.fn(settings).line(), sep="\n", flush=True)


def exported(model: Path, folder: Path, rank: int | None = None) -> None:
    """Write the adapter of an encoder as the pretrained estimator is kept: in half precision, with no path of here.

    With a rank, each map that it adds becomes the nearest one of that rank.
    """
    from safetensors.torch import load_file, save_file

    from benchmarks.average import nearest
    from training.model.seen import write_seen

    weights, told = load_file(model / "adapter_model.safetensors"), _json(model / "estimator.json")
    config = _json(model / "adapter_config.json")
    if rank is not None:
        config |= {"lora_alpha": config["lora_alpha"] * rank // config["r"], "r": rank}
        for down in [name for name in weights if "lora_A" in name]:
            up = down.replace("lora_A", "lora_B")
            weights[up], weights[down] = nearest(weights[up], weights[down], rank)
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: each.half().contiguous() for name, each in weights.items()}, folder / "adapter_model.safetensors")
    for name in ("levels.safetensors", "calibration.json"):
        if (model / name).exists():  # a fit with few dev propositions has no calibration
            shutil.copy(model / name, folder / name)
    kept = {key: value for key, value in told.items() if not key.endswith("_from_here")}
    write_seen(folder, str(model), [])  # each premise once; the file of a fit may have it several times
    for name, content in (("adapter_config.json", config), ("estimator.json", kept)):
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _json(file: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return told


def main() -> None:
    """Print the figures of every suite."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, default=Path("quality"))
    parser.add_argument("--minutes", type=float, default=50)
    parser.add_argument("--settings", type=Path)
    parser.add_argument("--evaluate-only", action="store_true", help="Measure the estimator that the folder has.")
    parser.add_argument("--export", type=Path, help="Also write the estimator here.")
    parser.add_argument("--rank", type=int, help="The rank of the adapter that is written there.")
    chosen = parser.parse_args()
    chosen.work.mkdir(parents=True, exist_ok=True)
    config = chosen.work / "odds.toml"
    if not chosen.evaluate_only:
        recipe = (
            chosen.settings.read_text(encoding="utf-8") if chosen.settings else RECIPE.format(minutes=chosen.minutes)
        )
        config.write_text(recipe, encoding="utf-8")
        settings = load_settings(config)
        prepare(chosen.data, settings, chosen.work)
        print(train.fn(settings).line(), flush=True)
    for result in evaluate_suites(config=config):
        for part in result_table(result):
            out.print(part)
    if chosen.export:
        used = next(each.path for each in models(config=config) if each.state == "in use")
        exported(used, chosen.export, chosen.rank)


if __name__ == "__main__":
    main()
