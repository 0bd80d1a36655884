"""Promote: an estimator replaces the one in use only if it is better on evaluation sets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from flows.estimators.named import label_of, model_of, required_model
from flows.evaluate_suites import Subjects, SuiteResult, evaluate_suites
from flows.models import models_use
from flows.settings.settings import Config, Settings, load_settings
from flows.stages.outcome import Outcome
from flows.stages.services import reading
from training.evaluation.families import SHOWN
from training.evaluation.paired import LEVEL, holm_values
from warehouse.errors import InputError
from warehouse.queries.models import model_in_use, newest_model
from warehouse.records import Difference, Model

_ERROR = "mse"


@dataclass(frozen=True)
class Promotion:
    """Whether a candidate was promoted, why in one line, and the differences that decided."""

    candidate: Model
    promoted: bool
    reason: str
    differences: list[Difference]


def models_promote(model: str, *, suites: Sequence[str] = (), config: Config = None) -> Promotion:
    """Use an estimator from now on if it is better than the one in use.

    It is better if the main figure of some suite (Pearson's correlation, the accuracy or the signed update rate) is
    higher, with a p-value below .05 after Holm's correction for the number of suites, and that of no suite lower, nor
    its mean squared error higher, with a 95% interval that leaves 0 out.

    Args:
        model: The id of the candidate or the start of it.
        suites: The suites to decide by; by default all.
        config: The settings, or the file to read them from.

    Raises:
        InputError: there is no such estimator or suite, no suite at all, or the candidate is in use.
    """
    settings = load_settings(config)
    with reading(settings) as warehouse:
        candidate, present = model_of(warehouse, model), required_model(warehouse, settings.publish.name)
    if candidate.model_id == present.model_id:
        raise InputError(f"{candidate.model_id} is in use already")
    rival = Subjects([present.model_id])
    results = evaluate_suites(
        suites, config=settings, model=candidate.model_id, subjects=rival, seen="leave-out"
    )  # whatever the settings say: one that learned a suite by heart must not win by it
    if not results:
        raise InputError("there are no suites to decide by; odds import suite makes one, odds models use needs none")
    decisive = _decisive(results, present)
    promoted, reason = _verdict(decisive) if any(each.n_items for each in results) else (False, _all_seen(results))
    if promoted:
        models_use(candidate.model_id, config=settings)
    return Promotion(candidate, promoted, reason, decisive)


def promote_newest(settings: Settings) -> Iterator[Outcome]:
    """Yield whether the newest estimator is promoted, as a stage of a cycle; nothing if it is in use already.

    Raises:
        InputError: there is no suite to decide by.
    """
    with reading(settings) as warehouse:
        newest = newest_model(warehouse, settings.publish.name)
        used = model_in_use(warehouse, settings.publish.name)
    if newest is None or used is None or newest.model_id == used.model_id:
        return
    found = models_promote(newest.model_id, config=settings)
    verb = "is in use" if found.promoted else "is not promoted"
    yield Outcome(
        stage="promote", counts={"promoted": int(found.promoted)}, note=f"{newest.model_id} {verb}: {found.reason}"
    )


def _decisive(results: Sequence[SuiteResult], present: Model) -> list[Difference]:
    """The difference from the estimator in use in the main figure of each suite, and in its squared error."""
    return [
        each
        for result in results
        for each in result.differences
        if each.against == label_of(present) and each.metric in (SHOWN[result.suite.family][0], _ERROR)
    ]


def _verdict(found: Sequence[Difference]) -> tuple[bool, str]:
    differences = [each for each in found if each.metric != _ERROR]
    corrected = holm_values([each.p for each in differences])
    better = [each for each, p in zip(differences, corrected, strict=True) if each.value > 0 and p < LEVEL]
    worse = [each for each in differences if each.high < 0]
    worse += [each for each in found if each.metric == _ERROR and each.low > 0]
    if worse:
        return False, f"worse on {_told(worse)}"
    if not better:
        return False, f"no better on {_told(differences)}" if differences else "no suite tells them apart"
    return True, f"better on {_told(better)}, worse on none of {len(differences)}"


def _all_seen(results: Sequence[SuiteResult]) -> str:
    """Say that there was nothing to measure: an estimator is never measured on what it learned from."""
    return (
        f"nothing could be measured, since all {sum(each.n_seen for each in results):,} items were left out: one of "
        "the two learned from their premises, or from some like them; import a suite with other premises"
    )


def _told(differences: Sequence[Difference]) -> str:
    return ", ".join(
        f"{each.suite} ({each.metric} {each.value:+.3f}, 95% [{each.low:+.3f}, {each.high:+.3f}])"
        for each in differences
    )
