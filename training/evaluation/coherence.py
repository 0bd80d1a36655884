"""Do the probabilities of related propositions fit together? What is measured of the items of coherence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from training.levels import Floats

COHERENCE = ("signed_update_rate", "negation_gap", "conjunction_excess", "paraphrase_sd")
"""The figures: the first one is best at 1, the others at 0."""
HYPOTHESIS = "hypothesis"


def coherence_values(items: Sequence[tuple[Sequence[str | None], Sequence[float]]]) -> dict[str, Floats]:
    """Return the values [n] of each figure that some item has; NaN for the items of other figures.

    - `negation_gap`: |p(H) + p(not H) - 1|.
    - `conjunction_excess`: max(0, p(A and B) - min(p(A), p(B))).
    - `paraphrase_sd`: the standard deviation (n - 1) of p over a hypothesis and its paraphrases.
    - `signed_update_rate`: 1 if a strengthener raises p or a weakener lowers it, -1 for the opposite, 0 if p stays. Its
      mean is the share of right moves minus that of wrong ones.

    Args:
        items: The roles of the propositions of each item (`SuiteItem.role`) and their probabilities, those that the
            others are derived from first.
    """
    found = [_value(roles, np.asarray(scores, dtype=np.float64)) for roles, scores in items]
    return {
        name: np.array([each if figure == name else np.nan for figure, each in found])
        for name in COHERENCE
        if any(figure == name for figure, _ in found)
    }


def _value(roles: Sequence[str | None], scores: Floats) -> tuple[str, float]:
    kind = roles[-1]
    if kind == "negation":
        return "negation_gap", abs(scores.sum() - 1)
    if kind == "conjunction":
        return "conjunction_excess", max(0.0, scores[-1] - scores[:-1].min())
    if kind == "paraphrase":
        return "paraphrase_sd", scores.std(ddof=1)
    return "signed_update_rate", float(np.sign(scores[-1] - scores[0])) * (1 if kind == "strengthened" else -1)
