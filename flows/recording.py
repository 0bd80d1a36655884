"""Whether Prefect records what runs here."""

from __future__ import annotations

import os
import sys

API_URL = "PREFECT_API_URL"
RUN_ID = "PREFECT__FLOW_RUN_ID"
"""The variable that a Prefect worker sets for the run that it starts."""


def is_recorded() -> bool:
    """Whether Prefect keeps a record of what runs here."""
    return bool(os.environ.get(API_URL)) or is_deployed() or in_flow_run()


def is_deployed() -> bool:
    """Whether a Prefect worker has started this process to run a deployment."""
    return bool(os.environ.get(RUN_ID))


def in_flow_run() -> bool:
    """Whether a flow is under way in this context."""
    if "prefect" not in sys.modules:
        return False
    from prefect.context import FlowRunContext

    return FlowRunContext.get() is not None
