"""Every fixture that starts a real component lives in `tests/fixtures`, one module a component."""

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

# Servers that take long to start; the tests of a group run in one worker, which starts them once.
SERVERS = {"studio_server": "servers", "prefect_api": "servers", "llm_url": "llm"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Say which tests belong together where several workers run them: those of a server, else those of a module."""
    for item in items:
        if isinstance(item, pytest.Function):
            groups = [group for server, group in SERVERS.items() if server in item.fixturenames]
            item.add_marker(pytest.mark.xdist_group(groups[0] if groups else item.module.__name__))
