"""Candidates for near-duplicate sets of words: MinHash signatures (package datasketch), cut into bands.

Two sets agree in a signature value with a probability equal to their Jaccard similarity |A and B| / |A or B|, so
similar sets share a whole band of values, and others seldom do (Broder 1997; Leskovec, Rajaraman and Ullman, "Mining
of Massive Datasets", chapter 3). Sets that share a band are candidates, to be checked on the sets themselves.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from datasketch import MinHash

VALUES = 128  # values in a signature
MISSED = 1e-4  # the largest share of pairs at the threshold that may be missed
LONGEST_BAND = 8  # values; longer bands would hardly reduce wrong candidates
SEED = 1


def band_length(threshold: float) -> int:
    """Return the largest band length that misses at most a share MISSED of the pairs at the Jaccard `threshold`.

    With b = VALUES // r bands of r values, a pair of similarity t is missed with probability (1 - t^r)^b.
    """
    enough = [r for r in range(1, LONGEST_BAND + 1) if (1 - threshold**r) ** (VALUES // r) <= MISSED]
    return max(enough, default=1)


def band_keys(sets: Sequence[Sequence[str]], threshold: float) -> npt.NDArray[np.uint64]:
    """Return a number for each set and band (sets x bands), equal if two sets agree in all values of the band."""
    encoded = [[word.encode() for word in each] for each in sets]
    signatures = MinHash.generator(encoded, num_perm=VALUES, seed=SEED)
    values = np.array([each.hashvalues for each in signatures], np.uint64).reshape(len(sets), VALUES)
    length = band_length(threshold)
    bands = VALUES // length
    factors = np.random.default_rng(SEED).integers(2**63, size=length, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    keys: npt.NDArray[np.uint64] = values[:, : bands * length].reshape(len(sets), bands, length) @ factors
    return keys
