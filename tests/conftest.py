"""Every fixture that starts a real component lives in `tests/fixtures`, one module a component."""

pytest_plugins = [
    "tests.fixtures.llm",
    "tests.fixtures.studio",
    "tests.fixtures.store",
    "tests.fixtures.estimator",
    "tests.fixtures.commands",
    "tests.fixtures.plain_duckdb",
]
