"""What a report says in sentences that depend on the project: who judged, and what intervals and distributions are."""

from __future__ import annotations

from collections.abc import Container

from training.evaluation.report_data import ReportData
from training.model.calibration import Calibration


def opening(data: ReportData) -> str:
    """Return who judged, and what the report shows."""
    judges = _judges(data)
    told = f"{judges} judged how probable a hypothesis is, given a premise. " if judges else ""
    return (
        f"{told}This report shows how close a fine-tuned estimator comes to the consensus on unseen premises, "
        "where it errs, and what it was made from."
    )


def _judges(data: ReportData) -> str:
    """Return who judged propositions: annotators, language models, estimators; empty if nobody did."""
    judges = []
    if data.n_judgments:
        judges.append("simulated annotators" if data.n_simulated == data.n_judgments else "annotators")
    if any(not each.is_estimator for each in data.labelers):
        judges.append("language models")
    if any(each.is_estimator for each in data.labelers):
        judges.append("estimators")
    *most, last = judges or [""]
    said = " and ".join(filter(None, (", ".join(most), last)))
    return said[:1].upper() + said[1:]


def answers_heading(data: ReportData) -> str:
    """Return the heading of the section of everyone's answers."""
    shown = [name for name, there in (("annotators", data.judgments), ("labelers", data.labelers)) if there]
    return f"What the {' and '.join(shown)} answer"


def distributions_note(measured: Container[str], calibration: Calibration | None) -> str:
    """Return what the figures of distributions are, as a note below their heading."""
    told = (
        "Wasserstein-1 is the distance from the distribution of people's judgments. An answer that is one number "
        "has all its mass on one of 10 levels. The correlation of entropies says whether the estimator is unsure "
        "where people disagree"
    )
    if "spread_correlation" not in measured:
        told += "; it takes three judgments of every test proposition, so it is missing here"
    told += "."
    return f"{told} {unmapped(calibration)}".strip()


def unmapped(calibration: Calibration | None) -> str:
    """Return that distributions are not recalibrated, where scores are; empty where neither is."""
    if calibration is None or calibration.map is None:
        return ""
    return (
        f"The scores are recalibrated by {calibration.map_name}; the distributions are not, so a score may differ from "
        "the mean of its distribution."
    )


def intervals_note(calibration: Calibration) -> str:
    """Return what the intervals of an estimator should hold, and what they were fitted on."""
    share = f"{calibration.coverage:.0%}"
    simulated = f", {calibration.n_simulated:,} of them simulated" if calibration.n_simulated else ""
    return (
        f"An interval of a single judgment should hold {share} of what people say, one of the consensus mean {share} "
        "of consensus means, both on average over propositions like those of dev. Their widths were fitted there, on "
        f"{calibration.n_propositions:,} propositions with {calibration.n_judgments:,} judgments{simulated}. Each "
        "proposition counts the same, however many judgments it has."
    )
