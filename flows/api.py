"""Every command as a Python function of the same name, which returns data. docs/api.md lists them.

>>> from flows.api import agree, import_judgments, sql
>>> import_judgments("judgments.parquet", columns=["lead_time=seconds"])
>>> agree()
>>> sql("SELECT hypothesis, consensus_mean FROM proposition_overview").to_pandas()

All take `config`: settings (`load_settings`), or the path of a settings file; without it, the one that `ODDS_CONFIG`
names, or `odds.toml` in the working directory.
"""

from __future__ import annotations

from flows.ablate import ablate, ablate_figures, ablate_plan
from flows.ablation.cells import PlannedFit
from flows.agree import agree
from flows.annotators.crowd import annotators_approve, annotators_bonus
from flows.annotators.invite import Invitation, annotators_invite
from flows.annotators.listing import annotators_list
from flows.annotators.pay import annotators_pay
from flows.annotators.report import annotators_report
from flows.annotators.review import annotators_review
from flows.annotators.statuses import annotators_exclude, annotators_status
from flows.checks import import_checks
from flows.cycle import cycle
from flows.demo import demo
from flows.design import StudyDesign, design
from flows.doctor import Finding, doctor
from flows.elicit import elicit
from flows.evaluate import evaluate
from flows.evaluate_suites import evaluate_suites
from flows.imports import import_choices, import_groups, import_judgments, import_premises, import_propositions
from flows.judge import judge
from flows.listen import Listening, listen
from flows.maintain import maintain, snapshots
from flows.merge import merge
from flows.models import ModelState, models, models_delete, models_use
from flows.promote import models_promote
from flows.propose import propose
from flows.publish import publish
from flows.pull import pull
from flows.push import push
from flows.recalibrate import recalibrate
from flows.research.attach import attach
from flows.research.disagreement import disagreement
from flows.research.export import export
from flows.research.labelers import labelers
from flows.research.query import sql, tables
from flows.research.trace import trace
from flows.score import score
from flows.select import select, selected
from flows.serve import serve
from flows.settings.settings import Settings, load_settings
from flows.settings.template import init
from flows.simulate import simulate
from flows.stages.outcome import Outcome
from flows.status import status
from flows.studio.connection import studio_start, studio_stop
from flows.studio.duplicates import studio_merge
from flows.suites import import_suite
from flows.train import train

__all__ = [
    "Finding", "Invitation", "Listening", "ModelState", "Outcome", "PlannedFit", "Settings", "StudyDesign",
    "ablate", "ablate_figures", "ablate_plan", "agree", "annotators_approve", "annotators_bonus",
    "annotators_exclude", "annotators_invite", "annotators_list", "annotators_pay", "annotators_report",
    "annotators_review", "annotators_status", "attach", "cycle", "demo", "design", "disagreement", "doctor",
    "elicit", "evaluate", "evaluate_suites", "export", "import_checks", "import_choices", "import_groups",
    "import_judgments", "import_premises", "import_propositions", "import_suite", "init", "judge", "labelers",
    "listen", "load_settings", "maintain", "merge", "models", "models_delete", "models_promote", "models_use",
    "propose", "publish", "pull", "push", "recalibrate", "score", "select", "selected", "serve", "simulate",
    "snapshots", "sql", "status", "studio_merge", "studio_start", "studio_stop", "tables", "trace", "train",
]  # fmt: skip
