"""Every fixture that starts a real component lives in `tests/fixtures`, one module a component.

Where several workers run the tests, the files that use the same server go to one of them, which starts it once.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

import training  # noqa: F401 - before anything loads torch, whose threads then sleep while they wait

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.scheduler import LoadScopeScheduling

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile("unhurried", hypothesis.settings.default, deadline=None)
hypothesis.settings.load_profile("unhurried")

pytest_plugins = [
    "tests.fixtures.llm",
    "tests.fixtures.studio",
    "tests.fixtures.store",
    "tests.fixtures.estimator",
    "tests.fixtures.commands",
    "tests.fixtures.plain_duckdb",
]

# Servers that take long to start, by what a test file says that uses one.
SERVERS = {"studio_server": "servers", "studio: Studio": "servers", "prefect_api": "servers", "llm_url": "llm"}
# What the SQL computes is the same on both catalogs: these run on PostgreSQL only where the long tests do,
# and the others where the slow ones do.
COMPUTED = {
    "agreement",
    "annotators",
    "calibration",
    "consensus",
    "groups",
    "labeler_quality",
    "labelers",
    "panel",
    "pending",
    "renew",
}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what the short selection leaves out besides."""
    for item in items:
        if isinstance(item, pytest.Function) and _second_catalog(item):
            computed = item.path.stem.removeprefix("test_") in COMPUTED
            item.add_marker(pytest.mark.long if computed else pytest.mark.slow)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Give files to workers. Groups of xdist's own need the mark on the test, which pytest 9.2 does not hand on."""
    from xdist.scheduler import LoadScopeScheduling

    class ByServer(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return _group(config.rootpath / nodeid.partition("::")[0])

    return ByServer(config, log)


@cache
def _group(file: Path) -> str:
    """The group of a test file: that of its server, or its own."""
    text = file.read_text(encoding="utf-8")
    return next((group for said, group in SERVERS.items() if said in text), str(file))


def _second_catalog(test: pytest.Function) -> bool:
    """Whether the test runs on PostgreSQL too, rather than there alone."""
    chosen = {mark.args[0] for mark in test.iter_markers("parametrize")}
    return hasattr(test, "callspec") and test.callspec.params.get("place") == "postgres+s3" and "place" not in chosen
