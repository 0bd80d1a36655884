"""Which settings of a fit matter, on a sample of public data: an ablation with a budget for a CPU.

    python -m benchmarks.ablation DATA [--work FOLDER] [--plan FILE] [--joci 1500] [--pairs 1.0] [--dry-run]

DATA is as `benchmarks.quality` takes it; of JOCI, which is nearly all of it, only the first rows are used. `--pairs`
takes a share of the order pairs to train on. The same held-out premises become suites. It prints the tables of the dev
split, by which settings may be chosen, and then those of the suites. On busy cores set `OMP_NUM_THREADS=1`: two threads
would wait for each other most of the time.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.quality import SETS, prepare
from flows.ablate import ablate, ablate_figures, ablate_plan
from flows.ablation.tables import ablation_tables, planned_table
from flows.settings.settings import load_settings
from flows.terminal.console import out
from warehouse.records import premise_id, split_of

PLAN = Path(__file__).with_name("ablation.toml")
ORDER = ("defeasible-snli", "defeasible-atomic", "ecare")
"""The sets that have only an order."""


def fewer(table: pa.Table, share: float) -> pa.Table:
    """Return a share of the premises to train on, with all their rows, and all rows of dev and test."""
    premises = [premise_id(each) for each in table["premise"].to_pylist()]
    kept = [split_of(each) != "train" or split_of(each, train=0.7 * share) == "train" for each in premises]
    return table.filter(pa.array(kept))


def sample(data: Path, folder: Path, rows: int, pairs: float) -> Path:
    """Copy the public sets into a folder: the first rows of JOCI, and a share of the sets of order to train on."""
    for each in SETS.values():
        for file in filter(None, (each.file, each.held_out)):
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(data / file, folder / file)
    pq.write_table(pq.read_table(data / SETS["joci"].file).slice(0, rows), folder / SETS["joci"].file)
    for name in ORDER:
        pq.write_table(fewer(pq.read_table(data / SETS[name].file), pairs), folder / SETS[name].file)
    return folder


def main() -> None:
    """Print the tables of an ablation on dev and on the suites."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, default=Path("ablation"))
    parser.add_argument("--plan", type=Path, default=PLAN)
    parser.add_argument("--joci", type=int, default=1500, help="The rows of JOCI to use.")
    parser.add_argument("--pairs", type=float, default=1.0, help="The share of the order pairs to train on.")
    parser.add_argument("--dry-run", action="store_true", help="Only say which fits are to come, and their times.")
    chosen = parser.parse_args()
    config = chosen.work / "odds.toml"
    if not config.exists():
        chosen.work.mkdir(parents=True, exist_ok=True)
        config.write_text("[publish]\npairs_weight = 0.5\n", encoding="utf-8")
        folder = sample(chosen.data, chosen.work / "data", chosen.joci, chosen.pairs)
        prepare(folder, load_settings(config), chosen.work)
    if chosen.dry_run:
        for part in planned_table(ablate_plan(chosen.plan, config=config)):
            out.print(part, highlight=False)
        return
    for suites in (None, ["all"]):
        print(ablate.fn(chosen.plan, config, suites).line(), flush=True)
        for part in ablation_tables(ablate_figures(chosen.plan, config=config, suites=suites)):
            out.print(part, highlight=False, soft_wrap=isinstance(part, str))


if __name__ == "__main__":
    main()
