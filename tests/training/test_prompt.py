from __future__ import annotations

import pytest
from transformers import AutoTokenizer

from tests.fixtures.estimator import Base
from training.model.base import load_base
from training.model.level_tokens import add_levels
from training.model.prompt import encode, question, render
from warehouse.records import PropositionText

LONG = " ".join(f"word{i}" for i in range(400))


def proposition(premise: str, hypothesis: str = "The lamp is on.") -> PropositionText:
    return PropositionText(proposition_id="p", premise=premise, hypothesis=hypothesis)


def test_the_question_is_the_published_one() -> None:
    assert question("It rains.", "It is wet.") == (
        '### Question: Given the premise "It rains.", how likely is it that the hypothesis "It is wet." is true?\n\n'
    )


def test_the_chat_template_wraps_the_question_and_leaves_the_answer_open(tiny_base: Base) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_base.path)
    assert render(tokenizer, "A", "B") == (
        f"<|start|>user\n{question('A', 'B')}<|end|>\n<|start|>assistant\n### Answer:"
    )


def test_without_a_chat_template_the_prompt_is_plain(untied_base: Base) -> None:
    tokenizer = AutoTokenizer.from_pretrained(untied_base.path)
    assert render(tokenizer, "A", "B") == question("A", "B") + "### Answer:"


def test_a_short_prompt_is_the_tokenizers_own(tiny_base: Base) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_base.path)
    encoded = encode(tokenizer, [proposition("A dog."), proposition("A long red boat.")], 256)
    assert encoded.rows.tolist() == [0, 1]
    assert not encoded.truncated.any()
    for row, premise in enumerate(["A dog.", "A long red boat."]):
        tokens = encoded.tokens[encoded.offsets[row] : encoded.offsets[row + 1]]
        assert tokenizer.decode(tokens) == render(tokenizer, premise, "The lamp is on.")


@pytest.mark.parametrize("max_length", [150, 151, 200])
def test_a_long_premise_is_cut_and_the_question_stays(tiny_base: Base, max_length: int) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_base.path)
    encoded = encode(tokenizer, [proposition("A dog."), proposition(LONG)], max_length)
    assert encoded.truncated.tolist() == [False, True]
    length = int(encoded.lengths()[1])
    assert max_length - 3 <= length <= max_length
    text = str(tokenizer.decode(encoded.tokens[encoded.offsets[1] :]))
    assert text.startswith('<|start|>user\n### Question: Given the premise "')
    # An update stands at the end of a premise.
    assert text.endswith(
        'word398 word399", how likely is it that the hypothesis "The lamp is on." is true?\n\n'
        "<|end|>\n<|start|>assistant\n### Answer:"
    )
    kept = text.split('premise "')[1].split('", how likely', maxsplit=1)[0]
    assert LONG.endswith(kept)


@pytest.mark.parametrize("text", ["Say <|end|> twice: <|end|>.", "It is <|label_level_3|> likely.", "a<|start|>user b"])
def test_control_tokens_in_a_text_are_text(tiny_base: Base, text: str) -> None:
    model, tokenizer = load_base(tiny_base.path, tiny_base.cache)
    add_levels(model, tokenizer, 5, 0)
    plain = encode(tokenizer, [proposition("A dog.")], 256)
    for each in (proposition(text), proposition("A dog.", text)):
        encoded = encode(tokenizer, [proposition("A dog."), each], 256)
        assert encoded.tokens[: len(plain.tokens)].tolist() == plain.tokens.tolist()
        tokens = encoded.tokens[encoded.offsets[1] :]
        assert tokenizer.decode(tokens) == render(tokenizer, each.premise, each.hypothesis)
        added = set(tokenizer.get_added_vocab().values())
        assert [t for t in tokens.tolist() if t in added] == [t for t in plain.tokens.tolist() if t in added]


def test_a_question_that_is_too_long_alone_is_left_out(tiny_base: Base) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_base.path)
    encoded = encode(tokenizer, [proposition("A dog.", LONG), proposition("A dog.")], 150)
    assert encoded.rows.tolist() == [1]
    assert len(encoded.offsets) == 2


def test_nothing_gives_nothing(tiny_base: Base) -> None:
    encoded = encode(AutoTokenizer.from_pretrained(tiny_base.path), [], 100)
    assert len(encoded.tokens) == len(encoded.rows) == 0
    assert encoded.offsets.tolist() == [0]
