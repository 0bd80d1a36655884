"""Which hypotheses of one premise say the same: exact repeats, and near-duplicates by MinHash. Pure.

A text is a set of shingles: pairs of neighbouring words, with a mark at each end. Two texts are near-duplicates where
the Jaccard similarity of their sets, |A and B| / |A or B|, reaches a threshold. MinHash signatures in bands (package
datasketch; Broder 1997) say which pairs to look at; the sets themselves decide.
"""

from __future__ import annotations

import re
import unicodedata
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import pairwise

from datasketch import MinHash, MinHashLSH

from synthesis.questions.polarity import GRADING_WORDS, POLARITY_WORDS, contrary, is_polar, with_not
from warehouse.records import Proposition, normalise

VALUES = 64  # of a signature
MISSED = 1e-6  # how many of the pairs that just reach the threshold may go unseen, at most
LONGEST_BAND = 8
RECENT = 65_536  # propositions: 15 MB
_EMPTY_SIGNATURE = MinHash(num_perm=VALUES, seed=1)
_EDGE = ""  # no word is empty

# Han, Hiragana, Katakana, Thai, Lao, Khmer and Myanmar put no space between words: each character is a word there.
_UNSPACED = re.compile(
    "[々〆〇\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
    "\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f"
    "\u0e01-\u0e5b\u0e81-\u0edf\u1780-\u17d3\u1000-\u109f]"
)

_DO = frozenset({"do", "does", "did"})
_ENDING = re.compile("(?:e?[sd]|e)$")


@lru_cache(maxsize=1024)
def words(text: str) -> tuple[str, ...]:
    """The words in one case and without punctuation. Signs such as % and $ stay; a mark is with its letter."""
    found: list[str] = []
    inside = False
    for char in normalise(normalise(text).casefold()):
        if unicodedata.category(char)[0] == "M" and found:
            found[-1] += char
        elif unspaced(char):
            found.append(char)
            inside = False
        elif _counts(char):
            found[-1:] = [found[-1] + char] if inside else [*found[-1:], char]
            inside = True
        else:
            inside = False
    return tuple(found)


def unspaced(char: str) -> bool:
    """Whether a character belongs to a script that is written without spaces."""
    return bool(_UNSPACED.match(char))


def _counts(char: str) -> bool:
    return char == "%" or unicodedata.category(char)[0] in "LMNS"


def bare(text: str) -> str:
    """The words of a text, which two texts share that are the same apart from case, spaces and punctuation."""
    return " ".join(words(text))


def shingles(text: str) -> frozenset[tuple[str, str]]:
    """The pairs of neighbouring words, the first and the last one with the mark of the end: n + 1 pairs for n words."""
    marked = [_EDGE, *words(text), _EDGE]
    return frozenset(pairwise(marked))


def jaccard(one: frozenset[tuple[str, str]], other: frozenset[tuple[str, str]]) -> float:
    """|A and B| / |A or B|, in [0, 1]; 1 for two empty sets."""
    either = len(one | other)
    return len(one & other) / either if either else 1.0


def polarity_words(text: str) -> list[str]:
    """The words that turn a statement round or grade it, sorted; see `polarity`."""
    return sorted(word for word in words(_with_not(text)) if is_polar(word))


def differ_in_meaning(one: str, other: str) -> bool:
    """Whether two texts, however alike, differ in a word that turns or grades a statement, where it is a known one."""
    return polarity_words(one) != polarity_words(other) or contrary(words(one), words(other))


def differ_only_in_polarity(one: str, other: str) -> bool:
    """Whether two texts have the same words, in their order, but for those that turn a statement round or grade it.

    Endings of English verbs and "do" are set aside: "The dog barks" and "The dog does not bark". Where contraries,
    such as "rise" and "fall", are set aside too, at least half of the words and two must be left.
    """
    if _core(one, other, GRADING_WORDS) == _core(other, one, GRADING_WORDS) != []:
        return True
    left = _core(one, other, POLARITY_WORDS)
    return left == _core(other, one, POLARITY_WORDS) and len(left) >= max(2, len(words(one)) / 2)


def _core(text: str, other: str, without: frozenset[str]) -> list[str]:
    there = words(_with_not(other))
    kept = [word for word in words(_with_not(text)) if not is_polar(word, without) and word not in _DO]
    return [_ENDING.sub("", word) for word in kept if without is GRADING_WORDS or not contrary([word], there)]


def _with_not(text: str) -> str:
    return with_not(normalise(text).casefold())


class KnownHypotheses:
    """The hypotheses of one premise that stand, by proposition id, to hold new ones against.

    `threshold` is the least Jaccard similarity of a near-duplicate, in [0, 1]; 0 means that none is looked for. Nothing
    below it is ever found; from 0.2 on next to nothing above it is missed (MISSED).
    """

    def __init__(self, known: Mapping[str, str], threshold: float) -> None:
        self._threshold = threshold
        self._ids: dict[str, str] = {}
        self._shingles: dict[str, frozenset[tuple[str, str]]] = {}
        self._texts: dict[str, str] = {}
        length = band_length(threshold)
        self._bands = MinHashLSH(num_perm=VALUES, params=(VALUES // length, length))
        for proposition_id, hypothesis in known.items():
            self.add(proposition_id, hypothesis)

    def add(self, proposition_id: str, hypothesis: str) -> None:
        """Lets one more stand; one with the same words as another changes nothing."""
        if self._ids.setdefault(bare(hypothesis), proposition_id) != proposition_id or not self._threshold:
            return
        if proposition_id not in self._shingles:
            self._shingles[proposition_id] = shingles(hypothesis)
            self._texts[proposition_id] = hypothesis
            self._bands.insert(proposition_id, _signature(self._shingles[proposition_id]), check_duplication=False)

    def repeated(self, hypothesis: str) -> str | None:
        """The one with the same words, apart from case and punctuation."""
        return self._ids.get(bare(hypothesis))

    def near(self, hypothesis: str) -> str | None:
        """The one that is most like it, where one reaches the threshold and has the same turning words."""
        if not self._threshold:
            return None
        own = shingles(hypothesis)
        candidates: Iterable[str] = self._bands.query(_signature(own))
        alike = sorted(((jaccard(own, self._shingles[each]), each) for each in candidates), reverse=True)
        reach = (each for similarity, each in alike if similarity >= self._threshold)
        return next((each for each in reach if not differ_in_meaning(hypothesis, self._texts[each])), None)


class Recent:
    """The last propositions that a run made, by their words: the warehouse may not hold them yet.

    Those of several questions that are under way at once, and of one kind after the other, are held here against each
    other. It never grows beyond `size`: rows are written long before so many are made.
    """

    def __init__(self, size: int = RECENT) -> None:
        self._size = size
        self._made: OrderedDict[int, tuple[str, str]] = OrderedDict()

    def first(self, premise: str, made: Proposition) -> str | None:
        """The id of the one with the same words on this premise that another request made; else this one is noted."""
        request_id = made.request_id or ""
        words_of_it = hash((bare(premise), bare(made.hypothesis)))
        proposition_id, maker = self._made.setdefault(words_of_it, (made.proposition_id, request_id))
        if len(self._made) > self._size:
            self._made.popitem(last=False)
        return None if maker == request_id else proposition_id


def band_length(threshold: float) -> int:
    """How many values a band has: as many as leave pairs of a similarity of `threshold` unseen too seldom.

    With b = VALUES // r bands of r values a pair of similarity t goes unseen with the probability (1 - t^r)^b.
    """
    enough = [r for r in range(1, LONGEST_BAND + 1) if (1 - threshold**r) ** (VALUES // r) <= MISSED]
    return max(enough, default=1)


@lru_cache(maxsize=64)  # a text is looked for, and then most often added
def _signature(of: frozenset[tuple[str, str]]) -> MinHash:
    signature = _EMPTY_SIGNATURE.copy()
    signature.update_batch([" ".join(pair).encode() for pair in of])
    return signature
