"""The average of two estimators that were fitted from one base: both adapters and heads, at the rank of the first.

    python -m benchmarks.average DATASET ONE TWO --to FOLDER

Fits of one base that found different answers are often better averaged than alone (Wortsman et al. 2022, "Model
soups"). The average of two products B A has twice their rank; what is kept of each map is its nearest matrix of the
rank of the first adapter. The dev split of DATASET, a folder that `odds publish` wrote and both were fitted on, says
which of the three is the best, and gives the average its intervals.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from safetensors.torch import load_file, save_file

from training import Estimator
from training.fit.calibrate import calibrate
from training.judgments import judgments_of
from training.model.calibration import write_calibration
from training.model.seen import write_seen
from training.settings import FitSettings
from warehouse.shards import ShardRows, read_pairs, read_split

ADAPTER, HEAD = "adapter_model.safetensors", "levels.safetensors"


def averaged(one: Mapping[str, torch.Tensor], two: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the average of two adapters with the same names and scaling, at the rank of the first."""
    found: dict[str, torch.Tensor] = {}
    for down in (name for name in one if "lora_A" in name):
        up = down.replace("lora_A", "lora_B")
        inner = torch.cat([one[down].float(), two[down].float()])
        outer = torch.cat([one[up].float(), two[up].float()], dim=1) / 2
        found[up], found[down] = nearest(outer, inner, len(one[down]))
    return found


def nearest(outer: torch.Tensor, inner: torch.Tensor, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return two half-precision factors whose product is the nearest matrix of a rank to that of two longer ones."""
    # The singular values of a long product, from those of the small one between two orthogonal bases.
    (left, left_part), (right, right_part) = torch.linalg.qr(outer), torch.linalg.qr(inner.T)
    u, sizes, v = torch.linalg.svd(left_part @ right_part.T)
    root = sizes[:rank].sqrt()
    up, down = (left @ u[:, :rank]) * root, root[:, None] * (v[:rank] @ right.T)
    return up.half().contiguous(), down.half().contiguous()


def write_average(one: Path, two: Path, folder: Path, dataset: Path) -> None:
    """Write the average of two estimators, with intervals fitted on the dev split of a dataset."""
    told = [json.loads((each / "adapter_config.json").read_text(encoding="utf-8")) for each in (one, two)]
    if len({each["lora_alpha"] / each["r"] for each in told}) > 1:
        raise SystemExit(f"{one} and {two} scale their adapters differently; fit them with the same lora_alpha")
    folder.mkdir(parents=True)
    for name in ("adapter_config.json", "estimator.json"):
        shutil.copy(one / name, folder / name)
    save_file(averaged(load_file(one / ADAPTER), load_file(two / ADAPTER)), folder / ADAPTER)
    heads = [load_file(each / HEAD) for each in (one, two)]
    save_file({name: ((heads[0][name] + heads[1][name]) / 2).contiguous() for name in heads[0]}, folder / HEAD)
    seen, pairs = (
        [ShardRows(dataset, split, part) for split in ("train", "dev")] for part in ("propositions", "pairs")
    )
    write_seen(folder, str(one), seen, pairs)
    dev = read_split(dataset, "dev", "human")
    found = Estimator.load(folder).score(_texts(dev))
    truth = judgments_of(dev)
    scores, sd = (np.array(each)[truth.rows] for each in (found.scores, found.sd))
    write_calibration(calibrate(scores, sd, truth, FitSettings(base=str(one))), folder)


def print_dev(folder: Path, dataset: Path) -> None:
    """Print what an estimator is worth on dev: its correlation with the means, and the share of pairs in order."""
    dev, pairs, estimator = read_split(dataset, "dev", "human"), read_pairs(dataset, "dev"), Estimator.load(folder)
    scores = np.array(estimator.score(_texts(dev)).scores)
    above, below = (np.array(estimator.score(_texts(pairs, side)).scores) for side in ("higher_", "lower_"))
    means, sources, of_pairs = (np.array(each) for each in (dev["mean"], dev["source"], pairs["source"]))
    found = {name: np.corrcoef(scores[sources == name], means[sources == name])[0, 1] for name in np.unique(sources)}
    found |= {f"pairs of {name}": (above > below)[of_pairs == name].mean() for name in np.unique(of_pairs)}
    print(folder.name, ", ".join(f"{name} {value:.3f}" for name, value in found.items()), sep=": ", flush=True)


def _texts(rows: pa.Table, side: str = "") -> list[tuple[str, str]]:
    premises, hypotheses = (rows[f"{side}{name}"].to_pylist() for name in ("premise", "hypothesis"))
    return list(zip(premises, hypotheses, strict=True))


def main() -> None:
    """Write the average, and print all three on dev."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("one", type=Path)
    parser.add_argument("two", type=Path)
    parser.add_argument("--to", type=Path, required=True)
    chosen = parser.parse_args()
    write_average(chosen.one, chosen.two, chosen.to, chosen.dataset)
    for folder in (chosen.one, chosen.two, chosen.to):
        print_dev(folder, chosen.dataset)


if __name__ == "__main__":
    main()
