"""Every fixture that starts a real component lives in `tests/fixtures`, one module a component.

Where several workers run the tests, the hook below says which belong together, so that a server is started once.
"""

from __future__ import annotations

import pytest

pytest_plugins = [
    "tests.fixtures.llm",
    "tests.fixtures.studio",
    "tests.fixtures.store",
    "tests.fixtures.estimator",
    "tests.fixtures.commands",
    "tests.fixtures.plain_duckdb",
]

# Servers that take long to start: one worker runs all tests of a group.
SERVERS = {"studio_server": "servers", "prefect_api": "servers", "llm_url": "llm"}
# What the SQL computes is the same on both catalogs: these run on PostgreSQL only together with the slow tests.
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
    """Group the tests by their server, else by their module, and mark what the short selection leaves out."""
    for item in items:
        if isinstance(item, pytest.Function):
            groups = [group for server, group in SERVERS.items() if server in item.fixturenames]
            item.add_marker(pytest.mark.xdist_group(groups[0] if groups else item.module.__name__))
            if _second_catalog(item) and item.path.stem.removeprefix("test_") in COMPUTED:
                item.add_marker(pytest.mark.slow)


def _second_catalog(test: pytest.Function) -> bool:
    """Whether the test runs on PostgreSQL too, rather than there alone."""
    chosen = {mark.args[0] for mark in test.iter_markers("parametrize")}
    return hasattr(test, "callspec") and test.callspec.params.get("place") == "postgres+s3" and "place" not in chosen
