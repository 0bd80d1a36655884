"""What a run of requests leaves with Prefect. No model answers here."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from flows.elicit import elicit
from flows.llm_runs import artifact
from flows.llm_runs.artifact import Figures, report
from flows.propose import propose
from flows.stages.outcome import Outcome, how_it_ended
from synthesis.progress import RunProgress
from tests.fixtures.llm_runs import COST, PRICED, endpoint, install, labeler, others
from tests.synthesis.faulty_endpoint import answers, fails, faulty
from warehouse.errors import ServiceError

GOOD = answers('{"reasoning": "r", "probability": 0.25}')
HYPOTHESES = [f"The hypothesis is number {number} of them." for number in range(8)]


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """What is handed to Prefect, as though a flow ran there."""
    found: list[dict[str, str]] = []
    monkeypatch.setattr("prefect.artifacts.create_markdown_artifact", lambda **given: found.append(given))
    monkeypatch.setattr(artifact, "in_flow_run", lambda: True)
    return found


def table(text: str, number: int) -> dict[str, list[str]]:
    """The rows of a table of the Markdown by their first cell."""
    rows = text.split("\n\n")[number].splitlines()
    return {first: rest for first, *rest in (row.strip("| ").split(" | ") for row in rows)}


def test_a_run_says_its_time_its_rate_and_what_each_labeler_came_to(tmp_path: Path, left: list[dict[str, str]]) -> None:
    def play(handler: Any) -> None:
        text = handler.body["messages"][-1]["content"]
        (fails(400) if "number 1" in text else answers("No.") if "number 2" in text else GOOD)(handler)

    with faulty(play) as server:
        parts = (endpoint("e", server, PRICED), labeler("a", "e"), labeler("twin", "e"), others("e"))
        elicit.fn(install(tmp_path, *parts, hypotheses=HYPOTHESES))
    (given,) = left
    text = given["markdown"]
    assert given["key"] == "odds-elicit"
    assert text.startswith("## elicit: done\n")
    figures = table(text, 1)
    assert figures["questions done"] == ["16 of 16"]
    assert figures["requests"] == ["20"]
    assert figures["failed"] == ["2"]
    assert re.fullmatch(r"0:00:\d\d", figures["time"][0])
    assert re.fullmatch(r"[\d.,]+ requests/(s|min)", figures["rate"][0])
    askers = table(text, 2)
    assert [askers[name][:4] for name in ("a", "twin")] == [["10", "6", "3", "1"]] * 2
    # The same request of both is paid once.
    assert sum(float(askers[name][5]) for name in ("a", "twin")) == pytest.approx(9 * COST, rel=0.02)
    assert float(figures["cost"][0]) == pytest.approx(9 * COST, rel=0.02)


def test_a_failed_run_says_so_in_its_artifact(tmp_path: Path, left: list[dict[str, str]]) -> None:
    with faulty(*[GOOD] * 3, fails(401)) as server:
        parts = (endpoint("e", server, PRICED), labeler("a", "e"), others("e"))
        with pytest.raises(ServiceError) as raised:
            elicit.fn(install(tmp_path, *parts, hypotheses=HYPOTHESES))
    (given,) = left
    assert given["markdown"].startswith(f"## elicit: failed: {raised.value}\n")
    assert given["description"] == f"failed: {raised.value}"
    assert re.fullmatch(r"[23] of 8", table(given["markdown"], 1)["questions done"][0])


def test_a_stage_of_two_phases_has_both_in_all_its_figures(tmp_path: Path, left: list[dict[str, str]]) -> None:
    written = '{"hypotheses": ["Somebody holds an umbrella."]}'
    kinds = 'kinds = ["proposed", "negation"]\ntargets = [0.9]\nper_target = 1'
    with faulty(answers(written, after_s=1.5), answers(written)) as server:
        parts = (endpoint("e", server, PRICED), labeler("a", "e"), others("e", kinds))
        propose.fn(install(tmp_path, *parts, hypotheses=HYPOTHESES[:1]))
        sent = server.requests
    first, both = (table(given["markdown"], 1) for given in left)
    assert first["questions done"] == ["1 of 1"]
    assert both["questions done"] == [f"{sent} of {sent}"]
    assert both["requests"] == [str(sent)]
    assert both["time"][0] > "0:00:00"
    asked = table(left[-1]["markdown"], 2)["p"]
    assert asked[0] == str(sent)
    assert asked[-1] == both["cost"][0]


def test_a_failure_is_what_is_raised_though_prefect_does_not_answer(
    tmp_path: Path, left: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(**_: str) -> None:
        raise ConnectionError("Prefect is gone")

    monkeypatch.setattr("prefect.artifacts.create_markdown_artifact", dies)
    with faulty(fails(401)) as server:
        parts = (endpoint("e", server), labeler("a", "e"), others("e"))
        with pytest.raises(ServiceError):
            elicit.fn(install(tmp_path, *parts, hypotheses=HYPOTHESES))
    assert left == []


def test_how_a_run_ended_is_one_line() -> None:
    done = Outcome(stage="elicit", counts={"requests": 0})
    stopped = done.model_copy(update={"stopped": "the next request could exceed the limit of 5"})
    assert how_it_ended(done, None) == "done"
    assert how_it_ended(stopped, None) == "stopped early: the next request could exceed the limit of 5"
    assert how_it_ended(done, KeyboardInterrupt()) == "stopped early: interrupted"
    assert how_it_ended(stopped, ServiceError("nobody\n answers")) == "failed: nobody answers"
    assert how_it_ended(done, ValueError("sk-secret")) == "failed: unexpected ValueError"


def test_a_name_cannot_break_the_table() -> None:
    figures = Figures(1, 1, 3.0, {"a|b": RunProgress(answered=1)})
    text = report(Outcome(stage="elicit", counts={"requests": 1}), figures, None)
    assert "| a&#124;b | 1 | 1 | 0 | 0 | 0 | 0 |" in text
    assert "| rate | 20.0 requests/min |" in text
