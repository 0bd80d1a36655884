"""Which sets of words may be near-duplicates: MinHash signatures (package datasketch), cut into bands.

Two sets agree in a value of their signatures with the probability of their Jaccard similarity |A and B| / |A or B|, so
sets that are alike share a whole band of values, and others seldom do (Broder 1997; Leskovec, Rajaraman and Ullman,
"Mining of Massive Datasets", chapter 3). What shares a band is a candidate; whether it is one the sets themselves say.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from datasketch import MinHash

VALUES = 128  # of a signature
MISSED = 1e-4  # how many of the pairs that just reach the threshold may go unseen, at most
LONGEST_BAND = 8  # values: longer ones would find no fewer wrong candidates worth the name
SEED = 1


def band_length(threshold: float) -> int:
    """How many values a band has: as many as leave pairs of a Jaccard similarity of `threshold` unseen too seldom.

    With b = VALUES // r bands of r values a pair of similarity t goes unseen with the probability (1 - t^r)^b.
    """
    enough = [r for r in range(1, LONGEST_BAND + 1) if (1 - threshold**r) ** (VALUES // r) <= MISSED]
    return max(enough, default=1)


def band_keys(sets: Sequence[Sequence[str]], threshold: float) -> npt.NDArray[np.uint64]:
    """A number for each set and band (sets x bands): the same where the values of two sets in this band are."""
    encoded = [[word.encode() for word in each] for each in sets]
    signatures = MinHash.generator(encoded, num_perm=VALUES, seed=SEED)
    values = np.array([each.hashvalues for each in signatures], np.uint64).reshape(len(sets), VALUES)
    length = band_length(threshold)
    bands = VALUES // length
    factors = np.random.default_rng(SEED).integers(2**63, size=length, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    keys: npt.NDArray[np.uint64] = values[:, : bands * length].reshape(len(sets), bands, length) @ factors
    return keys
