"""Whether Prefect records this run."""

from __future__ import annotations

import os
import sys

API_URL = "PREFECT_API_URL"
RUN_ID = "PREFECT__FLOW_RUN_ID"
"""The variable that a Prefect worker sets for a run that it starts."""


def is_recorded() -> bool:
    """Return whether Prefect records this run."""
    return bool(os.environ.get(API_URL)) or is_deployed() or in_flow_run()


def is_deployed() -> bool:
    """Return whether a Prefect worker started this process to run a deployment."""
    return bool(os.environ.get(RUN_ID))


def in_flow_run() -> bool:
    """Return whether a flow is running in this context."""
    if "prefect" not in sys.modules:
        return False
    from prefect.context import FlowRunContext

    return FlowRunContext.get() is not None
