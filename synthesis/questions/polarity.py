"""Words that negate or grade a statement: two texts that differ in one of them may say contrary things. Pure.

Word overlap cannot tell such texts apart: all 14 pairs of contrary hypotheses in the tests share half of their shingles
or more. The lists cover English, and the commonest negations of some other languages; a word that is missing here is
not known to negate anything. A word too many does no harm: a near-duplicate stays.
"""

from __future__ import annotations

import re
from collections.abc import Collection

_CONTRACTIONS = ((re.compile(r"\bcan['\u2019]t\b"), "can not"), (re.compile(r"\bwon['\u2019]t\b"), "will not"))
_NOT = re.compile(r"n['\u2019]t\b")

_NEGATIONS = """
no not cannot never none nobody nothing nowhere neither nor without hardly barely scarcely
nicht nichts nie niemals niemand nirgends nirgendwo kein keine keinen keinem keiner keines ohne weder kaum
ne n pas jamais rien aucun aucune personne sans ni nulle
nunca jamás nada nadie ningún ninguno ninguna sin tampoco
non mai niente nulla nessun nessuno nessuna senza né
não ninguém nenhum nenhuma sem nem
niet niets nooit niemand geen zonder
inte ingen inget inga aldrig utan ikke ikkje aldri uten uden intet
nie nigdy nikt nic bez
не нет ни никогда никто ничего без
不 没 沒 未 无 無 非
"""
_NUMBERS = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen
nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred hundreds thousand thousands million millions
billion billions dozen dozens once twice thrice first second third fourth fifth sixth seventh eighth ninth tenth
half halves quarter quarters thirds single double triple couple pair
"""
_QUANTITIES = """
all every everyone everybody everything everywhere each both any anyone anybody anything either some someone somebody
something somewhere most mostly many much few little several enough plenty lots majority minority only almost nearly
about exactly more less fewer least
"""
_DEGREES = """
always usually often frequently regularly sometimes occasionally rarely seldom
certainly surely definitely undoubtedly probably likely possibly perhaps maybe may might could can must will would shall
should possible impossible certain doubtful
"""
_CONTRARIES = """
higher lower highest lowest high low older younger oldest youngest old young new newer larger smaller bigger largest
smallest biggest large small big longer shorter longest shortest long short taller earlier later earliest latest early
late better worse best worst good bad faster slower fastest slowest fast slow quick quickly slowly easier harder easy
hard difficult heavier lighter heavy light warmer colder hotter cooler warm cold hot cool wetter drier wet dry richer
poorer rich poor stronger weaker strong weak cheaper dearer cheap expensive deeper shallower deep shallow wider narrower
wide narrow closer nearer farther further near far safer safe dangerous
before after above below over under up down left right inside outside with against for last next same different
raise raises raised lower lowers lowered rise rises rose risen fall falls fell fallen increase increases increased
decrease decreases decreased grow grows grew grown shrink shrinks shrank shrunk gain gains gained lose loses lost win
wins won succeed succeeds succeeded fail fails failed pass passes passed accept accepts accepted refuse refuses refused
reject rejects rejected agree agrees agreed buy buys bought sell sells sold open opens opened close closes closed
start starts started begin begins began stop stops stopped end ends ended come comes came go goes went arrive arrives
arrived leave leaves love loves loved hate hates hated like likes liked remember remembers remembered forget
forgets forgot alive dead asleep awake full empty true false wrong present absent alone together
"""
GRADING_WORDS = frozenset(" ".join((_NEGATIONS, _NUMBERS, _QUANTITIES, _DEGREES)).split())
POLARITY_WORDS = GRADING_WORDS | frozenset(_CONTRARIES.split())

PREFIXES = ("un", "in", "im", "il", "ir", "non", "dis", "mis", "anti")
"""Each makes a word its contrary."""
SUFFIXES = ("ful", "less")
"""Two words that end in these and begin alike are contraries."""


def is_polar(word: str, among: frozenset[str] = POLARITY_WORDS) -> bool:
    """Whether a word, in lower case, is a number or in the lists."""
    return word in among or any(char.isnumeric() for char in word)


def with_not(text: str) -> str:
    """A text in lower case with each n't written out."""
    for contraction, full in _CONTRACTIONS:
        text = contraction.sub(full, text)
    return _NOT.sub(" not", text)


def are_contrary(some: Collection[str], others: Collection[str]) -> bool:
    """Whether a word in one text is a word in the other plus a negating prefix, or with the other suffix."""
    one, other = set(some) - set(others), set(others) - set(some)
    return _negated(one, other) or _negated(other, one)


def _negated(some: set[str], others: set[str]) -> bool:
    ful, less = SUFFIXES
    return any(prefix + word in others for word in some for prefix in PREFIXES) or any(
        word.removesuffix(ful) + less in others for word in some if word.endswith(ful)
    )
