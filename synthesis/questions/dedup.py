"""Which hypotheses of one premise say the same: exact repeats and near-duplicates. Pure.

A text is a set of shingles: pairs of neighbouring words, with a mark at each end. Two texts are near-duplicates if the
Jaccard similarity of their sets, |A and B| / |A or B|, reaches a threshold. A premise has few hypotheses, so every pair
is compared: for 1,000 of them this takes a third of the time of MinHash, which must sign each text first.
"""

from __future__ import annotations

import re
import unicodedata
from collections import OrderedDict
from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise

from synthesis.questions.polarity import GRADING_WORDS, POLARITY_WORDS, are_contrary, is_polar, with_not
from warehouse.records import Proposition, normalise

RECENT = 65_536
"""Propositions that a run remembers; 15 MB."""
_EDGE = ""  # no word is empty

# Han, Hiragana, Katakana, Thai, Lao, Khmer and Myanmar put no space between words: each character is a word.
_UNSPACED = re.compile(
    "[々〆〇\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
    "\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f"
    "\u0e01-\u0e5b\u0e81-\u0edf\u1780-\u17d3\u1000-\u109f]"
)

_DO = frozenset({"do", "does", "did"})
_ENDING = re.compile("(?:e?[sd]|e)$")


@lru_cache(maxsize=1024)
def words(text: str) -> tuple[str, ...]:
    """The case-folded words without punctuation. Signs such as % and $ stay; a combining mark stays with its letter."""
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
    """The words of a text, the same for texts that differ only in case, spaces and punctuation."""
    return " ".join(words(text))


def shingles(text: str) -> frozenset[tuple[str, str]]:
    """The pairs of neighbouring words, including a mark at each end: n + 1 pairs for n words."""
    return frozenset(pairwise([_EDGE, *words(text), _EDGE]))


def jaccard(one: frozenset[tuple[str, str]], other: frozenset[tuple[str, str]]) -> float:
    """|A and B| / |A or B|, in [0, 1]; 1 for two empty sets."""
    either = len(one | other)
    return len(one & other) / either if either else 1.0


def polarity_words(text: str) -> list[str]:
    """The words that negate or grade a statement, sorted; see `polarity`."""
    return sorted(word for word in words(_with_not(text)) if is_polar(word))


def differ_in_polarity(one: str, other: str) -> bool:
    """Whether two texts, however alike, differ in a known word that negates or grades a statement."""
    return polarity_words(one) != polarity_words(other) or are_contrary(words(one), words(other))


def differ_only_in_polarity(one: str, other: str) -> bool:
    """Whether two texts have the same words in the same order, apart from those that negate or grade a statement.

    Endings of English verbs and "do" are ignored: "The dog barks" and "The dog does not bark". If contraries such as
    "rise" and "fall" have to be ignored as well, at least half of the words, and two, must be left.
    """
    if _core(one, other, GRADING_WORDS) == _core(other, one, GRADING_WORDS) != []:
        return True
    left = _core(one, other, POLARITY_WORDS)
    return left == _core(other, one, POLARITY_WORDS) and len(left) >= max(2, len(words(one)) / 2)


def _core(text: str, other: str, without: frozenset[str]) -> list[str]:
    there = words(_with_not(other))
    kept = [word for word in words(_with_not(text)) if not is_polar(word, without) and word not in _DO]
    return [_ENDING.sub("", word) for word in kept if without is GRADING_WORDS or not are_contrary([word], there)]


def _with_not(text: str) -> str:
    return with_not(normalise(text).casefold())


class KnownHypotheses:
    """The hypotheses of one premise, by proposition id, to compare new ones with.

    Args:
        known: those that the premise has.
        threshold: the least Jaccard similarity of a near-duplicate, in [0, 1]; 0 looks for exact repeats only.
    """

    def __init__(self, known: Mapping[str, str], threshold: float) -> None:
        self._threshold = threshold
        self._ids: dict[str, str] = {}
        self._texts: dict[str, str] = {}
        self._shingles: dict[str, frozenset[tuple[str, str]]] = {}
        for proposition_id, hypothesis in known.items():
            self.add(proposition_id, hypothesis)

    def add(self, proposition_id: str, hypothesis: str) -> None:
        """Adds a hypothesis; one with the same words as another changes nothing."""
        if self._ids.setdefault(bare(hypothesis), proposition_id) == proposition_id and self._threshold:
            self._texts.setdefault(proposition_id, hypothesis)
            self._shingles.setdefault(proposition_id, shingles(hypothesis))

    def repeated(self, hypothesis: str) -> str | None:
        """The id of the one with the same words, apart from case and punctuation."""
        return self._ids.get(bare(hypothesis))

    def near(self, hypothesis: str) -> str | None:
        """The id of the most similar one that reaches the threshold and has the same polarity."""
        own = shingles(hypothesis)
        similar = ((jaccard(own, other), each) for each, other in self._shingles.items())
        reach = sorted((pair for pair in similar if pair[0] >= self._threshold), reverse=True)
        return next((each for _, each in reach if not differ_in_polarity(hypothesis, self._texts[each])), None)


class Recent:
    """The last propositions that a run made, by their words; the warehouse may not hold them yet.

    Finds repeats among questions that run at the same time, and among kinds that follow each other. Keeps at most
    `size`: rows are written long before so many are made.
    """

    def __init__(self, size: int = RECENT) -> None:
        self._size = size
        self._made: OrderedDict[int, tuple[str, str]] = OrderedDict()

    def first(self, premise: str, made: Proposition) -> str | None:
        """The id of a proposition with the same words that another request made; if there is none, remembers this."""
        request_id = made.request_id or ""
        words_of_it = hash((bare(premise), bare(made.hypothesis)))
        proposition_id, maker = self._made.setdefault(words_of_it, (made.proposition_id, request_id))
        if len(self._made) > self._size:
            self._made.popitem(last=False)
        return None if maker == request_id else proposition_id
