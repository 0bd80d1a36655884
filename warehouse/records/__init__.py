"""The records that travel between the rooms: one class per table, one field per column.

All probabilities are floats in [0, 1] and all times are timezone-aware. Ids are content hashes, so doing a thing twice
gives the same id and the same row. The SQL comments in `warehouse/catalog/migrations` say what each column means, with
its unit; a test keeps fields and columns in step.
"""

from __future__ import annotations

from warehouse.records.base import (
    Count,
    Probability,
    Record,
    Share,
    Split,
    Text,
    annotator_id,
    content_id,
    judgment_id,
    labeler_id,
    normalise,
    now,
    premise_id,
    proposition_id,
    split_of,
)
from warehouse.records.evaluation import Ablation, Difference, Evaluation, Family, Suite, SuiteItem
from warehouse.records.figures import (
    Agreement,
    AnnotatorPrecision,
    Consensus,
    ConsensusFit,
    ConsensusMethod,
    FitMode,
    Recalibration,
)
from warehouse.records.labelers import (
    ESTIMATOR,
    Comparison,
    Disagreement,
    Estimate,
    JudgeMode,
    LabelerVersion,
    LLMMethod,
    Method,
    PanelAnswer,
    Request,
    RequestStatus,
    Verdict,
)
from warehouse.records.people import (
    LEAD_TIME_LIMIT_S,
    NOBODY,
    Annotator,
    AnnotatorKind,
    Check,
    Judgment,
    Selection,
    StudioProject,
    StudioTask,
    Task,
)
from warehouse.records.texts import (
    Choice,
    Drop,
    Pair,
    Parent,
    Premise,
    PremiseToPropose,
    Proposition,
    PropositionKind,
    PropositionText,
    StatedSplit,
)
from warehouse.records.training import Dataset, Model, PremiseGroup, Score, Shard

TABLES: tuple[type[Record], ...] = (
    Premise,
    Proposition,
    Request,
    LabelerVersion,
    Estimate,
    Verdict,
    Comparison,
    Annotator,
    Judgment,
    Task,
    Selection,
    StudioProject,
    StudioTask,
    Check,
    Choice,
    StatedSplit,
    Drop,
    Agreement,
    Consensus,
    ConsensusFit,
    AnnotatorPrecision,
    Recalibration,
    PremiseGroup,
    Dataset,
    Shard,
    Model,
    Score,
    Suite,
    SuiteItem,
    Evaluation,
    Difference,
    Ablation,
)

__all__ = [
    "ESTIMATOR", "LEAD_TIME_LIMIT_S", "NOBODY", "TABLES", "Ablation", "Agreement", "Annotator", "AnnotatorKind",
    "AnnotatorPrecision", "Check", "Choice", "Comparison", "Consensus", "ConsensusFit", "ConsensusMethod",
    "Count", "Dataset", "Difference", "Disagreement", "Drop", "Estimate", "Evaluation", "Family", "FitMode",
    "JudgeMode", "Judgment", "LLMMethod", "LabelerVersion", "Method", "Model", "Pair", "PanelAnswer", "Parent",
    "Premise", "PremiseGroup", "PremiseToPropose", "Probability", "Proposition", "PropositionKind",
    "PropositionText", "Recalibration", "Record", "Request", "RequestStatus", "Score", "Selection", "Shard",
    "Share", "Split", "StatedSplit", "StudioProject", "StudioTask", "Suite", "SuiteItem", "Task", "Text",
    "Verdict", "annotator_id", "content_id", "judgment_id", "labeler_id", "normalise", "now", "premise_id",
    "proposition_id", "split_of",
]  # fmt: skip
