from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthesis.dedup import LONGEST_BAND, MISSED, VALUES, Standing, band_length, bare, jaccard, shingles, turning_words

WORDS = ("the", "a", "dog", "cat", "old", "big", "is", "runs", "not", "lake", "3", "7")
TURNING = {"not", "3", "7"}
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
    own = sorted(word for word in new.split() if word in TURNING)
    rivals = {
        name: brute_force(text, new)
        for name, text in standing.items()
        if sorted(word for word in text.split() if word in TURNING) == own
    }
    kept = Standing(standing, threshold).near(new)
    reach = [similarity for similarity in rivals.values() if similarity >= threshold]
    if kept is None:
        assert not reach
    else:
        assert rivals[kept] == max(reach)


@given(st.lists(st.text(max_size=20), min_size=1, max_size=8), st.floats(0.0, 1.0))
def test_the_same_text_is_always_found_again_at_every_threshold(texts: list[str], threshold: float) -> None:
    standing = Standing({str(number): text for number, text in enumerate(texts)}, threshold)
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
            "The nice old ferry isn't sailing again this evening at all.",
            "The nice old ferry is sailing again this evening at all.",
        ),
        ("他今天早上在学校门口见过老师", "他今天早上没在学校门口见过老师"),
    ],
)
def test_what_turns_a_statement_round_is_no_near_duplicate_however_alike_the_words(one: str, other: str) -> None:
    assert jaccard(shingles(one), shingles(other)) >= 0.5
    assert Standing({"one": one}, 0.5).near(other) is None
    assert Standing({"one": one}, 0.5).near(one + " Really.") == "one"


def test_the_most_alike_of_those_that_stand_is_named() -> None:
    standing = Standing(
        {"far": "the old dog runs along the lake", "close": "the old dog runs along the frozen lake"}, 0.3
    )
    assert standing.near("the old dog runs along the frozen river") == "close"
    standing.add("closer", "the old dog runs along the frozen river bank")
    assert standing.near("the old dog runs along the frozen river") == "closer"


def test_a_threshold_of_nought_looks_for_repeats_alone() -> None:
    standing = Standing({"one": "The dog is old."}, 0.0)
    assert standing.near("The dog is old.") is None
    assert standing.repeated("the dog is OLD") == "one"


def test_words_are_the_same_apart_from_case_and_punctuation_alone() -> None:
    assert bare("  The DOG, is\told!") == bare("the dog is old")
    assert bare("Straße") == bare("STRASSE")
    assert bare("कि") != bare("की")  # two Hindi words that differ in a vowel sign
    assert bare("It costs $5.") != bare("It costs €5.")
    assert bare("5%") != bare("5")
    assert bare("中文 字") == bare("中文字。")
    assert turning_words("It wasn't 20% in May") == ["20%", "not"]
    assert turning_words("It wasn\u2019t") == ["not"]


@given(st.floats(0.01, 1.0))
def test_the_bands_miss_no_more_than_they_may(threshold: float) -> None:
    length = band_length(threshold)
    assert 1 <= length <= LONGEST_BAND
    assert length == 1 or (1 - threshold**length) ** (VALUES // length) <= MISSED
