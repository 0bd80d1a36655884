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
from flows.cycle import cycle
from flows.demo import demo
from flows.doctor import Finding, doctor
from flows.duplicates import studio_merge
from flows.elicit import elicit
from flows.evaluate import evaluate
from flows.evaluate_suites import evaluate_suites
from flows.imports import import_choices, import_groups, import_judgments, import_premises, import_propositions
from flows.judge import judge
from flows.maintain import maintain, snapshots
from flows.merge import merge
from flows.models import ModelState, models, models_delete, models_use
from flows.outcome import Outcome
from flows.promote import models_promote
from flows.propose import propose
from flows.publish import publish
from flows.pull import pull
from flows.push import push
from flows.recalibrate import recalibrate
from flows.research.attach import attach
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
from flows.status import status
from flows.studio import studio_start, studio_stop
from flows.suites import import_suite
from flows.train import train

__all__ = [
    "Finding", "ModelState", "Outcome", "PlannedFit", "Settings", "ablate", "ablate_figures", "ablate_plan",
    "agree", "attach", "cycle", "demo", "doctor", "elicit", "evaluate", "evaluate_suites", "export",
    "import_choices", "import_groups", "import_judgments", "import_premises", "import_propositions",
    "import_suite", "init", "judge", "labelers", "load_settings", "maintain", "merge", "models",
    "models_delete", "models_promote", "models_use", "propose", "publish", "pull", "push", "recalibrate",
    "score", "select", "selected", "serve", "simulate", "snapshots", "sql", "status", "studio_merge",
    "studio_start", "studio_stop", "tables", "trace", "train",
]  # fmt: skip
