"""The predictions of `odds design` beside studies cut out of real slider judgments.

    python -m benchmarks.design nli_variation/judgments.parquet [--studies 1000]

About 50 people judged each of 351 propositions. A study draws some of the propositions, and some judgments of each. The
SD of alpha over many studies is compared with its predicted standard error, the correlation of two means of k judgments
by different people with the predicted reliability, and the error of the consensus (EM) with its predicted SD. The
predictions know alpha, the SD within propositions and the mean of all judgments. `benchmarks/README.md` has figures.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from warehouse.agreement import interval_alpha
from warehouse.agreement.design import Prior, Z, plans
from warehouse.consensus.random_effects import fit_em

Floats = npt.NDArray[np.float64]
LEAST = 20  # judgments of a proposition, so that two means of ten share none


def read(file: Path) -> tuple[list[Floats], Prior]:
    """Return the valid judgments of each proposition, and what to expect of them."""
    rows: dict[tuple[str, str], dict[str, float]] = {}
    for row in pq.read_table(file).to_pylist():
        if not row["cannot_judge"] and row["status"] != "Rejected":
            rows.setdefault((row["premise"], row["hypothesis"]), {}).setdefault(row["annotator"], row["rating"] / 100)
    values = [np.array(list(each.values())) for each in rows.values() if len(each) >= LEAST]
    names = [(str(i), name) for i, each in enumerate(rows.values()) if len(each) >= LEAST for name in each]
    every = np.concatenate(values)
    proposition, annotator = zip(*names, strict=True)
    alpha = interval_alpha({"proposition": proposition, "annotator": annotator, "probability": every}).value
    assert alpha is not None
    within = float(np.average([each.var(ddof=1) for each in values], weights=[len(each) for each in values]))
    return values, Prior(alpha=alpha, sd=within**0.5, mean=float(every.mean()), source=file.name)


def studies(
    values: list[Floats], propositions: int, k: int, rng: np.random.Generator, number: int
) -> tuple[float, float]:
    """Return the mean and the SD of alpha over studies with k judgments of each proposition."""
    found = []
    for _ in range(number):
        # with replacement: the propositions of a study are drawn from many, as those of the interval are
        chosen = [values[i] for i in rng.integers(len(values), size=propositions)]
        drawn = np.array([rng.choice(each, k, replace=False) for each in chosen])
        found.append(1 - drawn.var(1, ddof=1).mean() / drawn.var(ddof=1))
    return float(np.mean(found)), float(np.std(found))


def halves(values: list[Floats], k: int, rng: np.random.Generator, number: int) -> float:
    """Return the mean correlation of two means of k judgments by different people."""
    found = []
    for _ in range(number):
        drawn = np.array([rng.choice(each, 2 * k, replace=False) for each in values])
        found.append(np.corrcoef(drawn[:, :k].mean(1), drawn[:, k:].mean(1))[0, 1])
    return float(np.mean(found))


def consensus(values: list[Floats], k: int, rng: np.random.Generator, number: int) -> tuple[float, float]:
    """Return the root mean squared error of the consensus of k judgments, and its mean posterior SD.

    The truth is the mean of the other judgments; what that is wrong by is subtracted. Annotators are not told apart.
    """
    unit = np.repeat(np.arange(len(values)), k)
    errors, variances = [], []
    for _ in range(number):
        order = [rng.permutation(each) for each in values]
        fit = fit_em(unit, np.zeros(len(unit), np.int64), np.concatenate([each[:k] for each in order]))
        truth = np.array([each[k:].mean() for each in order])
        noise = np.mean([each[k:].var(ddof=1) / len(each[k:]) for each in order])
        errors.append(np.mean((fit.theta - truth) ** 2) - noise)
        variances.append(np.mean(fit.sd**2))
    return float(np.mean(errors) ** 0.5), float(np.mean(variances) ** 0.5)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--studies", type=int, default=1000)
    chosen: Any = parser.parse_args()
    values, prior = read(chosen.file)
    rng = np.random.default_rng(0)
    print(f"{len(values)} propositions: alpha {prior.alpha:.3f}, SD {prior.sd:.3f}, mean {prior.mean:.3f}\n")
    print(
        "| propositions | judgments each | alpha ± predicted | observed | normal formula |", "|---" * 5 + "|", sep="\n"
    )
    for n, k in ((50, 3), (100, 2), (100, 3), (100, 5), (100, 10), (300, 3), (300, 5)):
        a = prior.alpha
        normal = Z * (2 * (1 - a) ** 2 * (1 + (k - 1) * a) ** 2 / (k * (k - 1) * n)) ** 0.5
        seen = Z * studies(values, n, k, rng, chosen.studies)[1]
        print(f"| {n} | {k} | {plans(prior, n)[k - 2].alpha_half_width:.3f} | {seen:.3f} | {normal:.3f} |")
    heads = "| judgments each | reliability predicted | observed | consensus SD predicted | error | posterior SD |"
    print(f"\n{heads}", "|---" * 6 + "|", sep="\n")
    for k in (2, 3, 5, 10):
        plan = plans(prior, 100)[k - 2]
        error, posterior = consensus(values, k, rng, 50)
        seen = halves(values, k, rng, 50)
        figures = (plan.reliability, seen, plan.consensus_sd, error, posterior)
        print(f"| {k} | {' | '.join(f'{each:.3f}' for each in figures)} |")


if __name__ == "__main__":
    main()
