from __future__ import annotations

import re
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthesis.panel.settings import Proposer
from synthesis.questions.dedup import KnownHypotheses, bare, jaccard, polarity_words, shingles

WORDS = ("the", "a", "dog", "cat", "red", "tin", "is", "runs", "not", "lake", "3", "7")
POLARITY_WORDS = {"not", "3", "7"}
SENTENCES = st.lists(st.sampled_from(WORDS), min_size=1, max_size=9).map(" ".join)
THRESHOLDS = st.floats(0.3, 1.0)


def brute_force(one: str, other: str) -> float:
    """The Jaccard similarity of the word pairs, counted one by one."""
    pairs: list[set[str]] = []
    for text in (one, other):
        marked = ["<", *text.split(), ">"]
        pairs.append({f"{marked[index]}_{marked[index + 1]}" for index in range(len(marked) - 1)})
    both = sum(pair in pairs[1] for pair in pairs[0])
    return both / (len(pairs[0]) + len(pairs[1]) - both)


def test_the_similarity_of_word_pairs_worked_out_by_hand() -> None:
    # ^the the-dog dog-is is-old old$ against ^the the-dog dog-is is-not not-old old$: 4 of 7.
    assert jaccard(shingles("The dog is old."), shingles("The dog is not old")) == pytest.approx(4 / 7)
    # ^the the-dog dog-bites bites-the the-man man$ against the same with the two changed: ^the and the four inside.
    assert jaccard(shingles("The dog bites the man."), shingles("The man bites the dog.")) == pytest.approx(4 / 8)
    assert jaccard(shingles("他是学生"), shingles("他是先生")) == pytest.approx(3 / 7)
    assert jaccard(shingles("A b"), shingles("a B!")) == 1.0


@given(SENTENCES, SENTENCES)
def test_the_similarity_is_what_counting_one_by_one_gives(one: str, other: str) -> None:
    assert jaccard(shingles(one), shingles(other)) == pytest.approx(brute_force(one, other))


@given(st.lists(SENTENCES, max_size=12), SENTENCES, THRESHOLDS)
def test_a_near_duplicate_reaches_the_threshold_and_has_the_same_negations_and_numbers(
    known: list[str], new: str, threshold: float
) -> None:
    standing = {str(number): text for number, text in enumerate(known)}
    own = sorted(word for word in new.split() if word in POLARITY_WORDS)
    rivals = {
        name: brute_force(text, new)
        for name, text in standing.items()
        if sorted(word for word in text.split() if word in POLARITY_WORDS) == own
    }
    kept = KnownHypotheses(standing, threshold).near(new)
    reach = [similarity for similarity in rivals.values() if similarity >= threshold]
    if kept is None:
        assert not reach
    else:
        assert rivals[kept] == max(reach)


@given(st.lists(st.text(max_size=20), min_size=1, max_size=8), st.floats(0.0, 1.0))
def test_the_same_text_is_always_found_again_at_every_threshold(texts: list[str], threshold: float) -> None:
    standing = KnownHypotheses({str(number): text for number, text in enumerate(texts)}, threshold)
    for text in texts:
        first = next(number for number, other in enumerate(texts) if bare(other) == bare(text))
        assert standing.repeated(text) == str(first)
        if threshold:
            assert standing.near(text) is not None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            "The tall man in the red jacket is walking his old dog along the frozen lake.",
            "The tall man in the red jacket is not walking his old dog along the frozen lake.",
        ),
        (
            "The tall man in the red jacket has walked his dog for 20 minutes this morning.",
            "The tall man in the red jacket has walked his dog for 40 minutes this morning.",
        ),
        (
            "The nice red ferry isn't sailing again this evening at all.",
            "The nice red ferry is sailing again this evening at all.",
        ),
        ("他今天早上在学校门口见过老师", "他今天早上没在学校门口见过老师"),
    ],
)
def test_what_turns_a_statement_round_is_no_near_duplicate_however_alike_the_words(one: str, other: str) -> None:
    assert jaccard(shingles(one), shingles(other)) >= 0.5
    assert KnownHypotheses({"one": one}, 0.5).near(other) is None
    assert KnownHypotheses({"one": one}, 0.5).near(one + " Really.") == "one"


def test_the_most_alike_of_those_that_stand_is_named() -> None:
    standing = KnownHypotheses(
        {"far": "the old dog runs along the lake", "close": "the old dog runs along the frozen lake"}, 0.3
    )
    assert standing.near("the old dog runs along the frozen river") == "close"
    standing.add("closer", "the old dog runs along the frozen river bank")
    assert standing.near("the old dog runs along the frozen river") == "closer"


def test_a_threshold_of_nought_looks_for_repeats_alone() -> None:
    standing = KnownHypotheses({"one": "The dog is old."}, 0.0)
    assert standing.near("The dog is old.") is None
    assert standing.repeated("the dog is OLD") == "one"


def test_words_are_the_same_apart_from_case_and_punctuation_alone() -> None:
    assert bare("  The DOG, is\told!") == bare("the dog is old")
    assert bare("Straße") == bare("STRASSE")
    assert bare("कि") != bare("की")  # two Hindi words that differ in a vowel sign
    assert bare("It costs $5.") != bare("It costs €5.")
    assert bare("5%") != bare("5")
    assert bare("中文 字") == bare("中文字。")
    assert polarity_words("It wasn't 20% in June") == ["20%", "not"]
    assert polarity_words("It wasn\u2019t") == ["not"]
    assert polarity_words("Two of the dogs may never bark again") == ["may", "never", "two"]


# Each pair says something contrary, or the same to another degree, and differs in a word or two.
GRADED = """
The new government measure will {raise|lower} prices for most families this year.
At least {two|five} of the workers who were in the building were hurt.
{Most|Some} of the people who came to the concert enjoyed it.
The woman who owns the bakery on the corner is {older|younger} than her husband.
The treatment that the doctor gave to the child last week was {effective|ineffective}.
The meeting that was planned for {Monday|Friday} takes place in the town hall.
Der alte Mann aus dem Dorf kommt heute nach der Arbeit {|nicht }wieder nach Hause.
La femme qui tient la boulangerie du coin {|n'}est {|pas }très fatiguée ce soir.
El hombre que vive en la casa azul {|no }vuelve esta noche con su perro.
La donna che vive nella casa azzurra {|non }torna questa sera con il cane.
Мужчина из синего дома {|не }вернётся сегодня вечером домой пешком.
The train {always|sometimes} reaches the small station by the lake a few minutes late.
The committee {|probably }meets in the old library behind the church this coming week.
The advice that her teacher gave her before the exam was {useful|useless} to her.
"""


def graded() -> list[tuple[str, str]]:
    found = []
    for line in GRADED.strip().splitlines():
        first, second = (re.sub(r"\{(.*?)\|(.*?)\}", rf"\{which}", line) for which in (1, 2))
        assert 8 <= len(first.split()) <= 16
        found.append((first, second))
    return found


@pytest.mark.parametrize(("one", "other"), graded())
def test_graded_and_contrary_hypotheses_stay_at_the_default_threshold(one: str, other: str) -> None:
    threshold = Proposer(name="p", endpoint="e", model="m").near_duplicates
    assert jaccard(shingles(one), shingles(other)) >= 0.5
    assert KnownHypotheses({"one": one}, threshold).near(other) is None
    assert KnownHypotheses({"one": other}, threshold).near(one) is None


# Words that no list knows, one of them more, or one in the place of another.
@pytest.mark.parametrize(("length", "taken"), [(8, False), (16, False), (17, True), (30, True)])
def test_the_default_threshold_lets_a_word_more_stay_up_to_sixteen(length: int, taken: bool) -> None:
    threshold = Proposer(name="p", endpoint="e", model="m").near_duplicates
    text = [f"word{'x' * number}" for number in range(length)]
    for place in range(1, length - 1):
        longer, changed = [*text[:place], "another", *text[place:]], [*text[:place], "another", *text[place + 1 :]]
        standing = KnownHypotheses({"one": " ".join(text)}, threshold)
        assert (standing.near(" ".join(longer)) == "one") is taken
        assert (standing.near(" ".join(changed)) == "one") is (length >= 24)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("three", "four"),
        ("second", "third"),
        ("few", "many"),
        ("rarely", "often"),
        ("warmer", "colder"),
        ("possible", "impossible"),
        ("happy", "unhappy"),
        ("existent", "nonexistent"),
        ("hopeful", "hopeless"),
        ("wieder", "nie"),
        ("toujours", "jamais"),
        ("siempre", "nunca"),
    ],
)
def test_a_known_word_keeps_texts_apart_at_any_threshold(one: str, other: str) -> None:
    text = "the man from the blue house by the lake said it was {} and so did the woman from the red house"
    assert KnownHypotheses({"one": text.format(one)}, 0.3).near(text.format(other)) is None
    assert KnownHypotheses({"one": text.format(other)}, 0.3).near(text.format(one)) is None
    assert KnownHypotheses({"one": text.format(one)}, 0.3).near("Well, " + text.format(one)) == "one"


def missed(threshold: float, pairs: int = 300) -> float:
    """The share that is not found of pairs that reach the threshold and not much more, by looking at each pair."""
    random, known, others = Random(7), {}, {}
    for number in range(pairs):
        text = [f"w{number}x{place}x" for place in range(random.randint(8, 40))]
        text = [re.sub(r"\d", lambda digit: "abcdefghij"[int(digit[0])], word) for word in text]
        for more in range(1, len(text)):  # ever longer ends of other words, while the threshold is reached
            other = " ".join([*text[:-more], *("other" + "q" * extra for extra in range(more))])
            if brute_force(" ".join(text), other) < threshold:
                break
            if brute_force(" ".join(text), other) < threshold + 0.05:
                known[str(number)], others[str(number)] = " ".join(text), other
    assert len(known) > pairs / 4
    standing = KnownHypotheses(known, threshold)
    found = [standing.near(text) for text in others.values()]
    assert all(one in (None, name) for one, name in zip(found, others, strict=True))
    return found.count(None) / len(found)


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7, 0.85])
def test_nothing_at_the_threshold_is_missed(threshold: float) -> None:
    assert missed(threshold) == 0
