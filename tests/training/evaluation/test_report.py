from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fixtures.estimator import with_column
from tests.training.evaluation.test_split import estimate, evaluated, judged_table
from training.evaluation.report import render, write_report
from training.evaluation.report_data import (
    ConsensusSpread,
    CurvePoint,
    LabelerAnswers,
    ReportData,
    ScoredProposition,
    Slice,
    Spent,
    StageCount,
)
from training.evaluation.report_pictures import pictures_of, singles
from training.evaluation.report_tables import interval_rows, parts, slice_rows, subject_name, table
from training.evaluation.slices import slices
from training.evaluation.split import split_items
from training.levels import one_hot
from training.model.calibration import Beta, Calibration, Isotonic
from warehouse.records import Agreement, Difference, Evaluation
from warehouse.shards import Licence

SCREENSHOT = Path(__file__).parents[3] / "build" / "screenshots" / "report.png"
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
NASTY = "<script>alert('x')</script> & averyveryverylongwordwithoutanyspace" * 3


def agreement(metric: str, value: float | None, low: float | None = None, high: float | None = None) -> Agreement:
    return Agreement(
        agreement_id=metric,
        metric=metric,
        scope="all judgments",
        slice="all judgments",
        value=value,
        low=low,
        high=high,
        n_propositions=206,
        n_annotators=6,
        n_judgments=1030,
        n_simulated=1030,
        fingerprint="f",
        snapshot_id=1,
    )


def synthetic(*, simulated: bool = True) -> ReportData:
    """A report's data made up of random numbers, of the size of a small run."""
    rng = np.random.default_rng(3)
    table = judged_table(40)
    ids, means = table["proposition_id"].to_pylist(), table["mean"].to_numpy()
    scores = np.clip(0.25 + 0.5 * means + 0.1 * rng.normal(size=40), 0.02, 0.98)
    distributions = {
        key: (score, (0.6 * one_hot(score, 10) + 0.04).tolist()) for key, score in zip(ids, scores, strict=True)
    }
    panel = {
        "smollm2-135m verbalised": rng.choice([0.5, 0.7, 0.8, 0.9], size=200, p=[0.2, 0.1, 0.6, 0.1]),
        "smollm2-135m scale20": np.clip(np.round(rng.normal(0.6, 0.2, size=200) * 20) / 20, 0, 1),
        "smollm2-135m token": rng.beta(4, 3, size=200),
    }
    estimates = [
        estimate(key, labeler, float(values[i])) for labeler, values in panel.items() for i, key in enumerate(ids)
    ]
    decay = [4.0 * np.exp(-step / 12) + 0.4 + 0.05 * rng.normal() for step in range(5, 65, 5)]
    spread = rng.uniform(0.05, 0.95, size=206)
    return ReportData(
        title="Probability judgments: demo",
        created_at=datetime(2026, 3, 4, 12, 30, tzinfo=UTC),
        n_judgments=1030,
        n_simulated=1030 if simulated else 0,
        n_annotators=6,
        n_simulated_annotators=6 if simulated else 0,
        stages=[
            StageCount(name="Premises", count=41),
            StageCount(name="Propositions", count=206, remark="80 imported, 126 proposed"),
            StageCount(name="LLM requests", count=744, remark="12 refused: unparseable 9, too long 3"),
            StageCount(name="Estimates", count=606, remark="12 without a probability"),
            StageCount(name="Judgments", count=1030, remark="17 cannot judge"),
            StageCount(name="Training propositions", count=150, remark="16 dev, 40 test, split by premise"),
        ],
        agreement=[agreement("interval alpha", 0.508, 0.484, 0.532), agreement("ordinal alpha", -0.021)],
        consensus=[ConsensusSpread(mean=m, sd=float(rng.uniform(0.1, 0.9) * np.sqrt(m * (1 - m)))) for m in spread],
        judgments=rng.beta(0.7, 0.7, size=1030).tolist(),
        labelers=[LabelerAnswers(name=k, probabilities=v.tolist(), without=4) for k, v in panel.items()],
        curve=[
            CurvePoint(step=5 * i + 5, loss=loss, dev_loss=loss + 0.1 if i % 4 == 3 else None)
            for i, loss in enumerate(decay)
        ],
        evaluations=evaluated(table, distributions, estimates, 0.5, resamples=50),
        test=[
            ScoredProposition(
                premise=NASTY if i == 0 else f"A woman in a red coat walks two dogs along the river at dawn ({i}).",
                hypothesis=f"Someone is outside, and it is early in the day ({i}).",
                score=float(scores[i] if i else means[i] < 0.5),  # the nasty one is the worst
                low=max(float(scores[i]) - 0.2, 0.0),
                high=min(float(scores[i]) + 0.2, 1.0),
                mean=float(means[i]),
                panel_mean=float(np.mean([values[i] for values in panel.values()])),
                levels=distributions[ids[i]][1],
                judgments=sorted(table["values"][i].as_py()),
            )
            for i in range(40)
        ],
        slices=[Slice(name=name, low=3, high=20 + place) for place, name in enumerate(slices(split_items(table)))],
        spent=[
            Spent(name="smollm2-135m token, elicit", amount="744 requests, 9 tokens", time="6.2 min", cost="0.42"),
            Spent(name="fit of the estimator", amount="60 steps", time="41 s"),
        ],
        sources=[Licence(source="news", licence="CC-BY-4.0", premises=41)],
        provenance=[
            ("Dataset", "demo, version 1 (3f2a9c41d07be65518aa20c4)"),
            ("Warehouse snapshot", "57"),
            ("Base model", "SmolLM2-135M-Instruct"),
            ("Settings", '{"levels": 10, "target": "mixture", "epochs": 3, "learning_rate": 0.0005, "batch_size": 16}'),
            ("Code version", "0.1.0"),
        ],
    )


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium on this machine")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield browser
        browser.close()


def opened(browser: Any, report: Path, width: int, scheme: str = "light") -> Any:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.requests_seen = []
    page.on("request", lambda request: page.requests_seen.append(request.url))
    page.goto(report.as_uri())
    return page


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(synthetic(), path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_fits_and_loads_nothing(browser: Any, report: Path, width: int) -> None:
    page = opened(browser, report, width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.requests_seen == [report.as_uri()]
    assert page.evaluate("document.scripts.length") == 0
    boxes = "[...document.querySelectorAll('.scroll')].filter(each => each.scrollWidth > each.clientWidth).length"
    assert page.evaluate(boxes) == 0, "a table is wider than the page"
    pictures = page.locator("[role=img]")
    # standings, reliability, histogram, six propositions, slices, curve, spread, answers
    assert pictures.count() == 13
    for index in range(13):
        picture = pictures.nth(index)
        box = picture.locator("svg").bounding_box()
        assert box["width"] > 250
        assert box["height"] > 100
        assert len(picture.get_attribute("aria-label")) > 40
    page.close()


def test_the_banner_is_seen_at_once_where_judgments_are_simulated(browser: Any, report: Path) -> None:
    page = opened(browser, report, 1280)
    banner = page.locator("#simulated")
    assert banner.is_visible()
    assert banner.bounding_box()["y"] < 500
    assert "1,030 of 1,030 judgments come from programs, not people" in banner.inner_text()
    SCREENSHOT.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOT, full_page=True)
    assert SCREENSHOT.stat().st_size > 50_000
    page.close()


def test_dark_mode_has_contrast(browser: Any, report: Path) -> None:
    page = opened(browser, report, 1280, "dark")
    ink, paper = page.evaluate(
        "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
    )
    brightness = [sum(int(part) for part in each[4:-1].split(",")) for each in (ink, paper)]
    assert brightness[0] - brightness[1] > 450
    assert page.locator("figure svg text").first.evaluate("each => getComputedStyle(each).fill") == ink
    page.close()


def test_the_table_shows_every_subject_once(browser: Any, report: Path) -> None:
    page = opened(browser, report, 1280)
    rows = page.locator("#evaluation ~ .scroll").first.locator("tbody tr")
    names = [row.locator("th").inner_text() for row in rows.all()]
    assert names[0] == "Estimator"
    assert len(names) == len(set(names)) == 7
    constant = rows.nth(names.index("Constant: the training mean")).locator("td").all_inner_texts()
    assert constant[:3] == ["40", "\N{EN DASH}", "\N{EN DASH}"]
    page.close()


def test_the_table_says_how_sure_a_difference_is() -> None:
    apart = [
        Difference(
            difference_id=f"{against} {metric}", model_id="m", suite="consensus", subject="estimator", against=against,
            metric=metric, value=0.1, low=0.0, high=0.2, p=0.001, p_holm=p, n=40,
        )
        for against, metric, p in (
            ("labeler:smollm2-135m token", "pearson", 0.021),
            ("labeler:smollm2-135m token", "mse", 0.5),
            ("constant", "mse", 0.004),
        )
    ]  # fmt: skip
    html = render(synthetic().model_copy(update={"differences": apart}))
    first = html[html.index('id="evaluation"') : html.index('id="distributions"')]
    found = re.findall(r'<th scope="row">([^<]+)</th>(?:(?!</tr>).)*data-label="p">([^<]*)</td>', first)
    assert {name: p for name, p in found if p} == {
        "Labeler smollm2-135m token": "0.021",
        "Constant: the training mean": "0.004",
    }


@pytest.mark.slow
def test_real_people_bring_no_banner() -> None:
    assert 'id="simulated"' not in render(synthetic(simulated=False))
    assert 'id="simulated"' in render(synthetic())


def test_texts_are_escaped() -> None:
    html = render(synthetic())
    assert "<script" not in html
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;" in html


def test_a_report_of_nothing_still_reads(tmp_path: Path) -> None:
    empty = synthetic().model_copy(
        update={
            name: []
            for name in (
                "stages",
                "agreement",
                "consensus",
                "judgments",
                "labelers",
                "curve",
                "evaluations",
                "test",
                "slices",
                "spent",
                "sources",
            )
        }
    )
    write_report(empty, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert "agreement cannot be measured" in text
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_a_failed_write_keeps_the_old_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_report(synthetic(), path)
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["report.html"]


def test_sections_come_in_the_order_of_a_readers_questions() -> None:
    found = re.findall(r'<h2 id="(\w+)"', render(synthetic()))
    assert found == [
        *("finding", "evaluation", "distributions", "slices", "propositions", "training", "cost", "counts"),
        *("agreement", "labelers", "provenance"),
    ]


def proposition(judgments: list[float], levels: list[float], kind: str | None = None) -> ScoredProposition:
    mean = float(np.mean(judgments))
    return ScoredProposition(
        premise="p", hypothesis="h", score=0.5, levels=levels, low=0, high=1, mean=mean, judgments=judgments, kind=kind
    )


def test_single_propositions_are_those_that_people_tell_apart() -> None:
    even, low = [0.5, 0.5], [1.0, 0.0]
    likely, unlikely = proposition([0.9] * 5, even), proposition([0.1] * 6, low)
    split = proposition([0.0, 0.0, 1.0, 1.0, 0.5], even, kind="camps")
    middle = proposition([0.5, 0.5, 0.5, 0.4, 0.6], low)
    few = proposition([0.0] * 4, [0.0, 1.0])
    found = {each.why: each.proposition for each in singles([few, likely, unlikely, split, middle])}
    assert found == {
        "People agree that it is likely": likely,
        "People agree that it is unlikely": unlikely,
        "People agree that it is open": middle,
        "Where people differ most: two groups": split,
    }


def test_the_worst_are_shown_with_their_judgments() -> None:
    data = synthetic()
    html = render(data)
    assert html.count('<div class="item">') == 20
    worst = max(data.test, key=lambda each: abs(each.score - each.mean))
    assert html.index(worst.hypothesis, html.index('id="propositions"')) < html.index('class="item"') + 1000
    assert " ".join(f"{value * 100:.0f}%" for value in worst.judgments) in html


def test_a_baseline_that_was_measured_on_fewer_propositions_says_so() -> None:
    table = with_column(judged_table(40), "n_judgments", [1] * 20 + [6] * 20)
    table = with_column(table, "source", ["a"] * 30 + ["b"] * 10)
    rows = slice_rows(
        evaluated(table, dict.fromkeys(table["proposition_id"].to_pylist(), (0.5, [0.5, 0.5])), []),
        [Slice(name="source=a"), Slice(name="source=b")],
    )
    assert [(row.name, row.n, [n for _, n in row.baselines]) for row in rows] == [
        ("source a", 30, ["n = 10", ""]),
        ("source b", 10, ["", ""]),
    ]


def test_it_says_only_that_annotators_agree_or_are_split_where_they_are() -> None:
    scattered, outlier = proposition([0.6, 0.7, 0.9, 1.0, 1.0], [0.5, 0.5]), [0.0, 0.5, 0.5, 0.5, 0.5, 0.5]
    found = [each.why for each in singles([scattered, proposition(outlier, [1.0, 0.0], kind="outlier")])]
    assert found == [
        "On average likely, where people differ least",
        "On average open, where people differ least",
    ]
    found = [each.why for each in singles([proposition(outlier, [1.0, 0.0], kind=kind) for kind in ("outlier", None)])]
    assert found[1] == "Where people differ most"
    low = [0.2, 0.3, 0.3, 0.4, 0.3]
    (first, *_) = singles([proposition([0.1, 0.2, 0.4, 0.5, 0.3], [1.0, 0.0], kind="spread"), proposition(low, [1, 0])])
    assert first.why == "Where people differ most: all over the scale"


def test_it_names_who_judged() -> None:
    data = synthetic(simulated=False)
    assert "<p>Annotators and language models judged how probable" in render(data)
    assert "What the annotators and labelers answer</h2>" in render(data)
    people = render(data.model_copy(update={"labelers": []}))
    assert "<p>Annotators judged how probable" in people
    assert "language model" not in people
    assert "What the annotators answer</h2>" in people
    assert (
        "labeler"
        not in people[people.index('id="labelers">') + len('id="labelers">') : people.index('id="provenance"')]
    )
    sitting = [each.model_copy(update={"is_estimator": True}) for each in data.labelers[:1]]
    assert "<p>Annotators and estimators judged" in render(data.model_copy(update={"labelers": sitting}))
    assert "<p>Simulated annotators and language models judged" in render(synthetic())


def test_only_a_language_model_learns_to_answer_with_a_level() -> None:
    data = synthetic()
    assert "learns to answer with a level" not in pictures_of(data)["curve"].caption
    learning = data.model_copy(update={"learns_levels": True})
    assert "learns to answer with a level" in pictures_of(learning)["curve"].caption


def figure(subject: str, metric: str, value: float | None, n: int = 40) -> Evaluation:
    return Evaluation(
        evaluation_id=f"{subject} {metric}",
        model_id="m",
        dataset_id="d",
        suite="consensus",
        subject=subject,
        metric=metric,
        value=value,
        low=None if value is None else value - 0.1,
        high=None if value is None else value + 0.05,
        n=n,
        n_simulated=0,
    )


def test_a_labeler_is_no_baseline_whatever_its_name() -> None:
    names = ("labeler:annotator-gpt", "labeler:constant", "labeler:3-annotators")
    figures = [figure("estimator", "mse", 0.3), *(figure(name, "mse", 0.1) for name in names)]
    data = synthetic().model_copy(update={"evaluations": figures, "differences": []})
    caption = pictures_of(data)["standings"].caption
    assert "annotators" not in caption
    dashed = pictures_of(data)["standings"].svg.count("stroke-dasharray: 4")
    people = data.model_copy(update={"evaluations": [*figures, figure("3-annotators", "mse", 0.2)]})
    assert "annotators against the others" in pictures_of(people)["standings"].caption
    assert pictures_of(people)["standings"].svg.count("stroke-dasharray: 4") == dashed + 1
    assert [row.cells[2].best for row in table(figures)] == [False, True, True, True]
    assert subject_name("labeler:3-annotators") == "Labeler 3-annotators"
    assert subject_name("3-annotators") == "3 annotators"


def test_the_parts_of_the_error_say_of_how_many_propositions() -> None:
    figures = [figure("estimator", "uncertainty", 0.1), figure("one-annotator", "uncertainty", 0.2, 17)]
    assert [(name, n) for name, n, _ in parts(figures)] == [("Estimator", 40), ("One annotator", 17)]
    html = render(synthetic().model_copy(update={"evaluations": figures}))
    assert '<th scope="row">One annotator</th><td class="n" data-label="n">17</td>' in html


def calibration(fitted: Isotonic | Beta | None = None) -> Calibration:
    return Calibration(
        map=fitted,
        coverage=0.9,
        interval_of="judgment",
        widths={"judgment": 2.0, "consensus": 1.0},
        n_propositions=98,
        n_judgments=771,
        n_simulated=0,
        mse=0.02,
    )


def test_the_coverage_of_both_intervals_is_shown() -> None:
    figures = [
        *synthetic().evaluations,
        figure("estimator", "coverage_judgment", 0.872),
        figure("estimator", "interval_width_judgment", 0.71),
        figure("estimator", "coverage_consensus", 0.931),
        figure("estimator", "interval_width_consensus", 0.42),
    ]
    rows = {row.of: (row.n, *row.coverage[:2], row.width.value) for row in interval_rows(figures)}
    assert rows == {
        "a single judgment": (40, "87.2%", "77.2% to 92.2%", "0.710"),
        "the consensus mean": (40, "93.1%", "83.1% to 98.1%", "0.420"),
    }
    html = render(synthetic().model_copy(update={"evaluations": figures, "calibration": calibration()}))
    assert "should be 90%" in html
    assert "98 propositions with 771 judgments" in html
    assert "gives no intervals" in render(synthetic())


def test_the_fit_of_distributions_has_its_own_table(browser: Any, report: Path) -> None:
    page = opened(browser, report, 1280)
    shown = page.locator("h3:has-text('How well distributions fit') ~ .scroll").first
    assert [each.split("\n")[0] for each in shown.locator("th.n").all_inner_texts()] == [
        "n",
        "Wasserstein-1",
        "Correlation of entropies",
    ]
    assert shown.locator("tbody tr").count() == 7
    page.close()
    without = [each for each in synthetic().evaluations if each.metric != "spread_correlation"]
    html = render(synthetic().model_copy(update={"evaluations": without}))
    assert "Correlation of entropies</th>" not in html
    assert "it takes three judgments of every test proposition" in html


@pytest.mark.parametrize(
    ("fitted", "name"),
    [
        (Isotonic(scores=(0.2, 0.8), probabilities=(0.1, 0.9)), "isotonic regression"),
        (Beta(a=1.0, b=1.0, c=0.1), "beta calibration"),
    ],
)
def test_a_map_of_the_scores_is_told_where_distributions_are(fitted: Isotonic | Beta, name: str) -> None:
    html = render(synthetic().model_copy(update={"calibration": calibration(fitted)}))
    places = [
        html.index(f'id="{place}"') for place in ("evaluation", "distributions", "slices", "propositions", "training")
    ]
    told = f"recalibrated by {name}; the distributions are not"
    counted = [html[start:end].count(told) for start, end in pairwise(places)]
    assert counted == [1, 1, 0, 1]
    assert "recalibrated" not in render(synthetic().model_copy(update={"calibration": calibration()}))


def test_the_reliability_diagram_counts_the_bins_that_ties_leave() -> None:
    data = synthetic()
    assert "4 bins of about equal size" in pictures_of(data)["reliability"].caption.replace("4 bins for", "")
    tied = [
        each.model_copy(update={"score": 0.3 if i % 2 else 0.7, "panel_mean": None}) for i, each in enumerate(data.test)
    ]
    caption = pictures_of(data.model_copy(update={"test": tied}))["reliability"].caption
    assert caption.startswith("2 bins for the estimator: equal answers share one, so there are fewer than 4.")
    assert "in 2 bins the estimator is off by" in caption
