"""A team's journey: the catalog on PostgreSQL, the data in an object store, and no password in sight."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.fixtures.commands import Run, ended_well, one_line
from tests.fixtures.store import OBJECT_STORE_KEY

PASSWORD = "hunter2-of-the-team"


def write_judgments(path: Path) -> None:
    ratings = [("It rains.", "The street is wet.", (95, 90, 85)), ("It snows.", "It is July.", (5, 10, 0))]
    rows = [f"{p},{h},a{n},{r}" for p, h, all_of_them in ratings for n, r in enumerate(all_of_them)]
    path.write_text("\n".join(["premise,hypothesis,annotator,rating", *rows]))


@pytest.mark.slow
def test_from_settings_to_a_published_dataset(tmp_path: Path, odds: Run, database: str, bucket: str) -> None:
    said: list[str] = []

    def run(*arguments: str, **more: object) -> subprocess.CompletedProcess[str]:
        with_password = {"ODDS_WAREHOUSE__CATALOG": f"{database} password={PASSWORD}"}
        result = odds(*arguments, **({"env": with_password} | more))
        said.append(result.stdout + result.stderr)
        return result

    ended_well(run("init"))
    settings = tmp_path / "odds.toml"
    text = settings.read_text()
    warehouse = f'[warehouse]\ncatalog = "{database} password={PASSWORD}"\ndata_path = "{bucket}"\n'
    settings.write_text(text.replace("[warehouse]\n", warehouse))
    assert "warehouse.catalog holds a password" in one_line(run("status"), 2)
    warehouse = f'[warehouse]\ndata_path = "{bucket}"\n'
    settings.write_text(text.replace("[warehouse]\n", warehouse).replace("draws = 2000", "draws = 100"))
    write_judgments(tmp_path / "judgments.csv")

    assert "no warehouse on PostgreSQL yet" in one_line(run("sql", "SELECT 1"), 2)
    assert "6 new judgments" in ended_well(run("import", "judgments", "judgments.csv"))
    assert "interval alpha" in ended_well(run("agree"))
    assert "odds v1" in ended_well(run("publish"))
    assert "match" in ended_well(run("publish", "--verify"))
    # 0.95, 0.90 and 0.85, and 0.05, 0.10 and 0, by hand
    means = ended_well(run("sql", "SELECT avg(probability) AS m FROM judgments GROUP BY proposition_id ORDER BY m"))
    assert "0.05" in means
    assert "0.9" in means
    assert "PostgreSQL, snapshot" in run("doctor").stdout
    assert "PostgreSQL" in ended_well(run("status"))
    assert "odds v1" in ended_well(run("snapshots"))
    assert "maintain:" in ended_well(run("maintain", "--dry-run"))
    assert "maintain:" in ended_well(run("maintain", "--grace-hours", "0"))
    assert "6" in ended_well(run("sql", "SELECT count(*) AS n FROM valid_judgments"))
    ended_well(run("attach"))
    run("sql", "SELECT * FROM duckdb_databases()")
    run("--verbose", "sql", "SELECT * FROM nowhere")

    for wrong in ("port=1 host=127.0.0.1", "nonsense=1"):
        elsewhere = {"ODDS_WAREHOUSE__CATALOG": f"{database} password={PASSWORD} {wrong}"}
        one_line(run("agree", env=elsewhere), 2)
        for command in (("sql", "SELECT 1"), ("import", "judgments", "judgments.csv"), ("agree",)):
            assert run("--verbose", *command, env=elsewhere).returncode == 2

    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    for secret in (PASSWORD, OBJECT_STORE_KEY):
        assert [text for text in said if secret in text] == []
        assert [path for path in written if secret.encode() in path.read_bytes()] == []


@pytest.mark.long
def test_both_catalogs_give_the_same_figures(tmp_path: Path, odds: Run, database: str, bucket: str) -> None:
    write_judgments(tmp_path / "judgments.csv")
    figures = "SELECT metric, slice, value FROM agreement ORDER BY ALL"
    consensus = "SELECT proposition_id, mean, sd, n_judgments FROM consensus ORDER BY ALL"
    places = [{}, {"ODDS_WAREHOUSE__CATALOG": database, "ODDS_WAREHOUSE__DATA_PATH": bucket}]
    seen = []
    for env in places:
        ended_well(odds("import", "judgments", "judgments.csv", env=env))
        ended_well(odds("agree", env=env))
        seen.append([ended_well(odds("sql", query, env=env)) for query in (figures, consensus)])
    assert seen[0] == seen[1]
