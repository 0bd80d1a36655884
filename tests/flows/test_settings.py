from __future__ import annotations

from pathlib import Path

import pytest

from flows.settings import Settings, load_settings
from flows.template import template_text, write_template
from warehouse.errors import InputError


def loaded(folder: Path, text: str) -> Settings:
    (folder / "odds.toml").write_text(text)
    return load_settings(folder / "odds.toml")


def test_the_template_says_the_defaults(tmp_path: Path) -> None:
    assert loaded(tmp_path, template_text()) == loaded(tmp_path, "")


def test_the_template_is_never_written_over(tmp_path: Path) -> None:
    path = write_template(tmp_path / "new")
    path.write_text("# mine")
    with pytest.raises(InputError, match="exists already"):
        write_template(tmp_path / "new")
    assert path.read_text() == "# mine"


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    settings = loaded(tmp_path, 'home = "here"\n[warehouse]\ndata_path = "s3://bucket/odds"')
    assert settings.catalog == str(tmp_path / "here/warehouse/catalog.sqlite")
    assert settings.data_path == "s3://bucket/odds"
    assert loaded(tmp_path, '[warehouse]\ncatalog = "postgres:dbname=odds"').catalog == "postgres:dbname=odds"


def test_the_environment_stands_above_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ODDS_ANNOTATION__JUDGMENTS_PER_PROPOSITION", "7")
    settings = loaded(tmp_path, '[annotation]\njudgments_per_proposition = 2\nproject = "Mine"')
    assert (settings.annotation.judgments_per_proposition, settings.annotation.project) == (7, "Mine")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("home = ", "not valid TOML"),
        ("nothing = 1", "nothing is not a setting"),
        ("[annotation]\nport = 0", "annotation.port"),
        ("[agreement]\nconsensus = 'mode'", "agreement.consensus"),
        ("[training]\nlearning_rate = -1", "training.learning_rate"),
        ("[splits]\ntrain = 0.9\ndev = 0.1", "train \\+ dev"),
        ("[[endpoints]]\nname = 'a'\nbase_url = 'embedded'", "'embedded' is not among"),
        ("[[endpoints]]\nname = 'a'\nbase_url = 'http://user:pw@host/v1'", "api_key_env"),
        ("root = '/'", "root cannot be set"),
    ],
)
def test_what_cannot_be_used_is_said_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as raised:
        loaded(tmp_path, text)
    assert "\n" not in str(raised.value)
    assert str(tmp_path / "odds.toml") in str(raised.value)


def test_a_secret_in_the_settings_is_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(InputError) as raised:
        loaded(tmp_path, '[[endpoints]]\nname = "a"\nbase_url = "http://user:hunter2@host/v1"')
    assert "hunter2" not in str(raised.value)


def test_without_a_file_the_defaults_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_settings().annotation.simulated_annotators == 0
    with pytest.raises(InputError, match="no such settings file"):
        load_settings(tmp_path / "none.toml")
