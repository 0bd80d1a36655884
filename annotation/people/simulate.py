"""Simulated annotators: they judge in Label Studio as separate users, and everything marks them as simulated.

They replace people in demonstrations and tests. Their figures say nothing about how people judge.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from random import Random
from typing import Any, NamedTuple
from uuid import NAMESPACE_URL, uuid5

from pydantic import BaseModel, ConfigDict, Field

from annotation.interface.page import CANNOT_JUDGE, HYPOTHESIS, PAGE, mark_in, read_mark
from annotation.interface.scales import SCALES
from annotation.people.users import add_annotator
from annotation.studio.client import Studio, connect
from annotation.sync.mapping import SIMULATED_DOMAIN
from warehouse.records import Share, content_id

THREADS = 2
"""Two callers are a tenth to a quarter faster than one: the server runs Python in one thread at a time."""
SURE = 0.005
"""Beliefs stay this far from 0 and 1, whose logits are infinite."""


class SimulatedAnswer(NamedTuple):
    """The answer in percent, or None for "cannot judge", and the seconds it took."""

    number: float | None
    lead_time_s: float


class SimulatedAnnotator(BaseModel):
    """An annotator who answers logistic(logit(truth) + bias + noise), sometimes rounded.

    `bias` and `noise_sd` are in logits; `heaping` is the share of answers that are rounded to a multiple of 5%.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    bias: float = 0.0
    noise_sd: float = Field(default=0.5, ge=0)
    heaping: Share
    cannot_judge_rate: Share
    seed: int = 0

    @property
    def email(self) -> str:
        """The address of the account, marked by a domain that nobody can own."""
        return f"{self.name}@{SIMULATED_DOMAIN}"

    def answer(self, proposition_id: str, truth: float) -> SimulatedAnswer:
        """Return the answer to a proposition whose probability is `truth`; it is the same every time."""
        random = Random(f"{self.seed}/{self.name}/{proposition_id}")
        lead_time_s = round(random.lognormvariate(math.log(12), 0.5), 1)
        if random.random() < self.cannot_judge_rate:
            return SimulatedAnswer(None, lead_time_s)
        believed = min(max(truth, SURE), 1 - SURE)
        logit = math.log(believed / (1 - believed)) + self.bias + random.gauss(0, self.noise_sd)
        percent = 100 / (1 + math.exp(-logit))
        heaped = random.random() < self.heaping
        return SimulatedAnswer(round(percent / 5) * 5.0 if heaped else round(percent, 1), lead_time_s)


class _Job(NamedTuple):
    """The judgments that a task lacks. Label Studio may miscount two of one task that arrive at the same moment."""

    task_id: int
    proposition_id: str
    annotators: list[SimulatedAnnotator]


_PANEL = (
    SimulatedAnnotator(name="simulated-steady", bias=0.0, noise_sd=0.35, heaping=0.2, cannot_judge_rate=0.01),
    SimulatedAnnotator(name="simulated-hopeful", bias=0.6, noise_sd=0.5, heaping=0.4, cannot_judge_rate=0.02),
    SimulatedAnnotator(name="simulated-doubtful", bias=-0.6, noise_sd=0.5, heaping=0.4, cannot_judge_rate=0.02),
    SimulatedAnnotator(name="simulated-fine", bias=0.1, noise_sd=0.6, heaping=0.0, cannot_judge_rate=0.0),
    SimulatedAnnotator(name="simulated-coarse", bias=-0.1, noise_sd=0.7, heaping=1.0, cannot_judge_rate=0.03),
    SimulatedAnnotator(name="simulated-hasty", bias=0.2, noise_sd=1.2, heaping=0.6, cannot_judge_rate=0.05),
)


def default_annotators(count: int = len(_PANEL), seed: int = 0) -> tuple[SimulatedAnnotator, ...]:
    """Return the first `count` of a panel with different biases and noises; beyond its end, variations of them."""
    names = [(_PANEL[i % len(_PANEL)], i // len(_PANEL)) for i in range(count)]
    return tuple(
        member.model_copy(update={"name": member.name + (f"-{turn + 1}" if turn else ""), "seed": seed})
        for member, turn in names
    )


def choose_panel(
    proposition_id: str, annotators: Sequence[SimulatedAnnotator], per_proposition: int
) -> list[SimulatedAnnotator]:
    """Choose the annotators of a proposition by hash, so that the choice is stable and evenly spread."""
    ranked = sorted(annotators, key=lambda annotator: content_id("panel", proposition_id, annotator.name))
    return ranked[:per_proposition]


def simulate(
    studio: Studio,
    project_id: int,
    annotators: Sequence[SimulatedAnnotator],
    truths: Mapping[str, float],
    *,
    per_proposition: int,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> int:
    """Have simulated annotators judge the project's tasks whose truth is known. A second run adds nothing.

    Args:
        studio: A connection that may create users; each annotator posts with its own token.
        project_id: The project.
        annotators: The simulated annotators.
        truths: The probability of each proposition, by id.
        per_proposition: How many of the annotators judge each proposition; all of them if they are fewer.
        on_progress: Called with the number of judgments made and of all.

    Returns:
        How many judgments are new.
    """
    ids = {user.email.lower(): user.id for user in studio.users().values()}
    jobs = []
    for task in studio.tasks(project_id):
        if task.proposition_id is not None and task.proposition_id in truths:
            panel = choose_panel(task.proposition_id, annotators, per_proposition)
            if missing := [annotator for annotator in panel if ids.get(annotator.email) not in task.annotators]:
                jobs.append(_Job(task.id, task.proposition_id, missing))
    needed = {annotator.name: annotator for job in jobs for annotator in job.annotators}
    connections = {name: _connection(studio, annotator) for name, annotator in needed.items()}
    key = studio.project_key(project_id)
    mark = mark_in(studio.project_settings(project_id, ["label_config"])["label_config"])

    def post(job: _Job) -> int:
        made = 0
        for annotator in job.annotators:
            answer = annotator.answer(job.proposition_id, truths[job.proposition_id])
            unique_id = str(uuid5(NAMESPACE_URL, f"{key}/{job.task_id}/{annotator.email}"))
            connection, result = connections[annotator.name], _result(answer, mark)
            made += connection.annotate(job.task_id, result, unique_id=unique_id, lead_time_s=answer.lead_time_s)
        return made

    return _in_threads(post, jobs, on_progress)


def _in_threads(post: Callable[[_Job], int], jobs: Sequence[_Job], on_progress: Callable[[int, int], None]) -> int:
    made, done, total = 0, 0, sum(len(job.annotators) for job in jobs)
    with ThreadPoolExecutor(THREADS) as threads:
        waiting = {threads.submit(post, job): len(job.annotators) for job in jobs}
        try:
            for future in as_completed(waiting):
                made += future.result()
                done += waiting[future]
                on_progress(done, total)
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            raise
    return made


def _connection(studio: Studio, annotator: SimulatedAnnotator) -> Studio:
    """Return the annotator's own connection. Its password is derived, so it is not stored anywhere."""
    password = studio.derived_secret(f"password of {annotator.email}")
    return connect(studio.url, add_annotator(studio, annotator.email, password))


def _result(answer: SimulatedAnswer, mark: str | None) -> list[dict[str, Any]]:
    """Return the answer as the page with this mark would send it."""
    interface, _ = read_mark(mark) or ("slider", "")
    scale = SCALES[interface]
    if answer.number is None:
        given = _item(CANNOT_JUDGE, "choices", {"choices": [CANNOT_JUDGE]})
    else:
        given = _item(scale.control, "number", {"number": scale.number(answer.number / 100)})
    return [given, _item(PAGE, "textarea", {"text": [mark]})] if mark else [given]


def _item(control: str, kind: str, value: Mapping[str, Any]) -> dict[str, Any]:
    return {"from_name": control, "to_name": HYPOTHESIS, "type": kind, "value": value}
