from __future__ import annotations

import math
import statistics
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from annotation.people.simulate import SimulatedAnnotator, choose_panel, default_annotators, simulate
from annotation.studio.client import Studio
from annotation.sync.push import push
from tests.fixtures.studio import Home, new_project
from warehouse.records import PropositionText, annotator_id, proposition_id


def plain(**changes: float) -> SimulatedAnnotator:
    settings = {"noise_sd": 0.0, "heaping": 0.0, "cannot_judge_rate": 0.0} | changes
    return SimulatedAnnotator(name="simulated-test", **settings)  # type: ignore[arg-type]


@given(st.floats(min_value=0.006, max_value=0.994))
def test_without_bias_and_noise_the_answer_is_the_truth(truth: float) -> None:
    answer = plain().answer("p", truth)
    assert answer.number == pytest.approx(100 * truth, abs=0.051)


@given(st.floats(min_value=0, max_value=1), st.text(), st.sampled_from(default_annotators()))
def test_every_answer_is_a_position_of_the_slider(truth: float, name: str, annotator: SimulatedAnnotator) -> None:
    answer = annotator.answer(name, truth)
    assert answer == annotator.answer(name, truth)
    assert answer.lead_time_s >= 0
    if answer.number is not None:
        assert 0 <= answer.number <= 100
        assert answer.number == round(answer.number, 1)


def test_bias_and_noise_are_those_of_the_logits() -> None:
    biased = plain(bias=1.0).answer("p", 0.5).number
    assert biased == pytest.approx(100 / (1 + math.exp(-1)), abs=0.05)
    noisy = plain(noise_sd=0.5, bias=0.25)
    numbers = [noisy.answer(f"p{i}", 0.5).number for i in range(4000)]
    logits = [math.log(number / (100 - number)) for number in numbers if number is not None]
    assert statistics.mean(logits) == pytest.approx(0.25, abs=4 * 0.5 / math.sqrt(4000))
    assert statistics.stdev(logits) == pytest.approx(0.5, abs=0.03)


def test_heaping_and_cannot_judge_come_at_their_rates() -> None:
    coarse = [plain(noise_sd=1, heaping=1).answer(f"p{i}", 0.4).number for i in range(200)]
    assert all(number is not None and number % 5 == 0 for number in coarse)
    unsure = [plain(cannot_judge_rate=0.2).answer(f"p{i}", 0.4).number for i in range(4000)]
    assert unsure.count(None) / 4000 == pytest.approx(0.2, abs=4 * 0.4 / math.sqrt(4000))


def test_annotators_differ_and_carry_the_mark() -> None:
    panel = default_annotators(8)
    assert len({annotator.name for annotator in panel}) == 8
    assert all(annotator.email.endswith("@simulated.invalid") for annotator in panel)
    assert all("simulated" in annotator.name for annotator in panel)
    assert len({annotator.answer("p", 0.3).number for annotator in default_annotators()}) > 3
    with pytest.raises(ValidationError):
        SimulatedAnnotator(name="a@b", heaping=0, cannot_judge_rate=0)


def test_the_panel_of_a_proposition_is_stable_and_the_work_is_spread() -> None:
    panel = default_annotators()
    assert choose_panel("p", panel, 3) == choose_panel("p", panel[::-1], 3)
    counts = Counter(member.name for i in range(1000) for member in choose_panel(f"p{i}", panel, 3))
    assert sum(counts.values()) == 3000
    assert all(count == pytest.approx(500, abs=4 * math.sqrt(1000 / 4)) for count in counts.values())


def test_simulated_annotators_judge_as_users_of_their_own_and_only_once(studio: Studio) -> None:
    project = new_project(studio, overlap=3)
    propositions = [
        PropositionText(proposition_id=proposition_id("p", f"h{i}"), premise="p", hypothesis=f"h{i}") for i in range(5)
    ]
    push(studio, project, propositions)
    truths = {p.proposition_id: 0.1 + 0.2 * i for i, p in enumerate(propositions[:4])}
    panel = default_annotators(4)
    ticks: list[tuple[int, int]] = []
    made = simulate(
        studio, project, panel, truths, per_proposition=3, on_progress=lambda done, total: ticks.append((done, total))
    )
    assert made == 12
    assert ticks == [(3, 12), (6, 12), (9, 12), (12, 12)]
    assert Counter(stamp.annotations for stamp in studio.stamps(project)) == {3: 4, 0: 1}, "Label Studio miscounted"
    pulled = Home(studio, project).pull()
    by_id = {annotator_id("label-studio", member.email): member for member in panel}
    assert {a.kind for a in pulled.annotators} == {"simulated"}
    assert {a.pseudonym for a in pulled.annotators} <= {member.name for member in panel}
    assert Counter(j.proposition_id for j in pulled.judgments) == dict.fromkeys(truths, 3)
    for judgment in pulled.judgments:
        answer = by_id[judgment.annotator_id].answer(judgment.proposition_id, truths[judgment.proposition_id])
        assert judgment.cannot_judge == (answer.number is None)
        assert judgment.lead_time_s == answer.lead_time_s
        assert (judgment.interface, judgment.scale) == ("slider", "0:100")
        if answer.number is not None:
            assert judgment.probability == pytest.approx(answer.number / 100, abs=1e-12)
    assert simulate(studio, project, panel, truths, per_proposition=3) == 0
    more = simulate(studio, project, panel, truths | {propositions[4].proposition_id: 0.5}, per_proposition=3)
    assert more == 3


def test_simulated_annotators_answer_on_the_scale_of_the_page(studio: Studio) -> None:
    project = new_project(studio, overlap=3, interface="unli")
    proposition = PropositionText(proposition_id=proposition_id("p", "h"), premise="p", hypothesis="h")
    push(studio, project, [proposition])
    (annotator,) = default_annotators(1)
    # Three are wanted: people may give the others.
    assert simulate(studio, project, [annotator], {proposition.proposition_id: 0.02}, per_proposition=3) == 1
    (judgment,) = Home(studio, project).pull().judgments
    number = annotator.answer(proposition.proposition_id, 0.02).number
    assert number is not None
    assert judgment.probability == pytest.approx(number / 100, rel=0.1)
    assert (judgment.interface, judgment.scale) == ("unli", "unli")
