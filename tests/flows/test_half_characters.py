"""Half a character (a lone surrogate) in a reply of a real server: no table can hold it. No model answers here."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.elicit import elicit
from flows.llm_runs import writer
from flows.propose import propose
from tests.fixtures.llm_runs import endpoint, install, labeler, others, rows
from tests.synthesis.faulty_endpoint import answers, fails, faulty

HALF = {"in the body": "\ud83d", "in the content": "\\ud83d", "behind a whole one": "\\ud83d\\ude00 \\ude00"}
"""As the fault injector sends it: an escape in the JSON of the body, or in the JSON that is its content."""
READ = {"in the body": "\ufffd", "in the content": "\ufffd", "behind a whole one": "\U0001f600 \ufffd"}


@pytest.mark.parametrize("where", HALF)
@pytest.mark.parametrize("killed", [False, True], ids=["", "killed before it was written"])
def test_half_a_character_in_an_estimate_ends_no_run(
    tmp_path: Path, where: str, killed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with faulty(answers(f'{{"reasoning":"wet {HALF[where]}","probability":0.5}}')) as server:
        config = install(tmp_path, endpoint("e", server), labeler("a", "e"), others("e"), hypotheses=["It is wet."])
        if killed:
            with monkeypatch.context() as broken:
                broken.setattr(writer, "merge_all", _dies)
                with pytest.raises(SystemExit):
                    elicit.fn(config)
        assert elicit.fn(config).counts["estimates"] == 1
        assert elicit.fn(config).counts == {"requests": 0}
        assert server.requests == 1
    found = rows(config, "SELECT probability, reasoning FROM estimates")
    assert found == [{"probability": 0.5, "reasoning": f"wet {READ[where]}"}]


@pytest.mark.parametrize("where", HALF)
def test_half_a_character_in_a_hypothesis_ends_no_run(tmp_path: Path, where: str) -> None:
    with faulty(answers(f'{{"hypotheses": ["Somebody {HALF[where]} is wet."]}}')) as server:
        parts = (endpoint("e", server), labeler("a", "e"), others("e", "targets = [0.9]\nper_target = 1"))
        config = install(tmp_path, *parts)
        assert propose.fn(config).counts["propositions"] == 1
        assert propose.fn(config).counts == {"requests": 0}
        assert server.requests == 1
    assert rows(config, "SELECT hypothesis FROM propositions") == [{"hypothesis": f"Somebody {READ[where]} is wet."}]


def test_half_a_character_in_a_refusal_ends_no_run(tmp_path: Path) -> None:
    with faulty(fails(422, "wet \ud83d")) as server:
        config = install(tmp_path, endpoint("e", server), labeler("a", "e"), others("e"), hypotheses=["It is wet."])
        assert elicit.fn(config).counts["failed"] == 1
    assert rows(config, "SELECT reason FROM requests") == [{"reason": "rejected: HTTP 422 wet \ufffd"}]


def _dies(*_: object) -> None:
    raise SystemExit(9)
