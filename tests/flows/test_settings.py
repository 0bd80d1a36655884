from __future__ import annotations

import re
import traceback
from importlib import resources
from pathlib import Path

import pytest

from flows.settings.settings import Settings, load_settings
from flows.settings.template import init, template_text
from synthesis.panel.settings import prices_of
from synthesis.prompts.render import load_prompt
from warehouse.errors import InputError


def loaded(folder: Path, text: str) -> Settings:
    (folder / "odds.toml").write_text(text)
    return load_settings(folder / "odds.toml")


def test_the_template_says_the_defaults(tmp_path: Path) -> None:
    assert loaded(tmp_path, template_text()) == loaded(tmp_path, "")


def test_the_template_names_every_setting() -> None:
    schema = Settings.model_json_schema()
    settings = {name for each in (schema, *schema["$defs"].values()) for name in each.get("properties", ())}
    assert len(settings) > 100
    assert settings - set(re.findall(r"\w+", template_text())) == {"root"}  # it is no setting: the file's own folder


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, ("pretrained", "encoder", "lora")),
        ({"base": "pretrained-large"}, ("pretrained-large", "encoder", "lora")),
        ({"tuning": "full"}, ("pretrained", "encoder", "full")),
        ({"kind": "causal"}, ("embedded", "causal", "lora")),
        ({"tuning": "upper"}, ("embedded", "causal", "upper")),
        ({"base": "embedded"}, ("embedded", "causal", "lora")),
        ({"base": "embedded", "kind": "encoder"}, ("embedded", "encoder", "full")),
        ({"base": "owner/name"}, ("owner/name", "causal", "lora")),
    ],
)
@pytest.mark.parametrize("place", ["file", "environment", "both", "changed template"])
def test_what_is_left_out_of_base_kind_and_tuning_follows_from_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], found: tuple[str, ...], place: str
) -> None:
    lines = [f'{name} = "{value}"' for name, value in given.items()]
    text = "\n".join(["[training]", "epochs = 2", *lines])
    if place in {"environment", "both"}:
        for name, value in given.items():
            monkeypatch.setenv(f"ODDS_TRAINING__{name.upper()}", value)
    if place == "environment":
        text = "[training]\nepochs = 2\n"
    if place == "changed template":
        text = template_text()
        for name, line in zip(given, lines, strict=True):
            text = re.sub(rf"(?m)^(# )?{name} = .*$", line, text, count=1)
    chosen = loaded(tmp_path, text).training
    assert (chosen.base, chosen.kind, chosen.tuned) == found


def test_the_template_is_never_written_over(tmp_path: Path) -> None:
    path = init(tmp_path / "new")
    path.write_text("# mine")
    with pytest.raises(InputError, match="exists already"):
        init(tmp_path / "new")
    assert path.read_text() == "# mine"


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    settings = loaded(tmp_path, 'home = "here"\n[warehouse]\ndata_path = "s3://bucket/odds"')
    assert settings.catalog == str(tmp_path / "here/warehouse/catalog.sqlite")
    assert settings.data_path == "s3://bucket/odds"
    assert loaded(tmp_path, '[warehouse]\ncatalog = "postgres:dbname=odds"').catalog == "postgres:dbname=odds"


def test_prompt_files_lie_beside_the_settings_wherever_the_command_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = resources.files("synthesis.prompts").joinpath("verbalised.toml").read_text()
    (tmp_path / "mine.toml").write_text(text)
    monkeypatch.chdir("/")
    settings = loaded(
        tmp_path,
        """
        [[labelers]]
        name = "l"
        endpoint = "embedded"
        model = "m"
        prompt = "mine.toml"
        method = "verbalised"
        [proposer]
        prompt = "propose"
        kinds = ["negation"]
        prompts = {negation = "negate.toml", paraphrase = "paraphrase"}
        [judge]
        summary_prompt = "short/summary.toml"
        """,
    )
    assert load_prompt(settings.llms[0].prompt).name == "verbalised"
    assert settings.proposer.prompt == "propose"
    assert settings.proposer.prompts == {"negation": str(tmp_path / "negate.toml"), "paraphrase": "paraphrase"}
    assert settings.judge.summary_prompt == str(tmp_path / "short/summary.toml")
    assert settings.judge.prompt_name == "judge"


def test_who_is_asked_is_set_in_the_file(tmp_path: Path) -> None:
    settings = loaded(
        tmp_path,
        """
        ledger = "shared/ledger.sqlite"
        [[endpoints]]
        name = "e"
        base_url = "https://host/v1/"
        api_key_env = "KEY"
        requests_per_minute = 600
        tokens_per_minute = 90000
        patience_s = 5
        price_in = 0.4
        price_out = 1.6
        batch_price = 0.25
        [[labelers]]
        name = "reasoner"
        endpoint = "e"
        model = "m"
        prompt = "verbalised"
        method = "verbalised"
        omit = ["temperature", "max_tokens"]
        extra = {max_completion_tokens = 900, reasoning_effort = "low"}
        price_out = 3.2
        max_in_flight = 2
        requests_per_minute = 60
        [proposer]
        endpoint = "e"
        kinds = ["proposed", "conjunction"]
        per_proposition = 2
        [judge]
        endpoint = "e"
        mode = "keep_drop"
        threshold = 0.3
        """,
    )
    (endpoint,), (labeler,) = settings.endpoints, settings.llms
    assert settings.ledger_path == tmp_path / "shared/ledger.sqlite"
    assert (endpoint.base_url, endpoint.requests_per_minute, endpoint.batch_price) == ("https://host/v1", 600, 0.25)
    assert prices_of(endpoint, labeler) == (0.4, 3.2)
    assert prices_of(endpoint, settings.judge) == (0.4, 1.6)
    assert labeler.further == {"omit": ["max_tokens", "temperature"], "extra": labeler.extra}
    assert (settings.proposer.kinds, settings.proposer.per_proposition) == (("proposed", "conjunction"), 2)
    # What is not named stays as the defaults have it.
    assert (settings.judge.prompt_name, settings.judge.threshold) == ("judge_keep_drop", 0.3)
    assert settings.judge.summary_prompt == "summarise"
    assert loaded(tmp_path, 'ledger = "postgres:dbname=odds"').ledger_path == "postgres:dbname=odds"
    assert loaded(tmp_path, "").ledger_path == tmp_path / ".odds/ledger.sqlite"


def test_the_environment_stands_above_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ODDS_ANNOTATION__JUDGMENTS_PER_PROPOSITION", "7")
    settings = loaded(tmp_path, '[annotation]\njudgments_per_proposition = 2\nproject = "Mine"')
    assert (settings.annotation.judgments_per_proposition, settings.annotation.project) == (7, "Mine")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("home = ", "not valid TOML"),
        ("nothing = 1", "nothing is not a setting"),
        ('[[annotation.projects]]\ntitle = "Odds"', "two projects have the same title"),
        ('[[annotation.projects]]\ntitle = "x"', "annotation.projects.0.title"),
        ('[[annotation.projects]]\ntitle = "French"\nlanguage = "fr"', "annotation.projects.0.language is not"),
        ("[annotation]\nport = 0", "annotation.port"),
        ("[agreement]\nconsensus = 'mode'", "agreement.consensus"),
        ("[training]\nlearning_rate = -1", "training.learning_rate"),
        ("[splits]\ntrain = 0.9\ndev = 0.1", "train \\+ dev"),
        ("[proposer]\nendpoint = 'vllm'", "smol-proposer: endpoint 'vllm' is not among"),
        ("[judge]\nendpoint = 'vllm'", "smol-judge: endpoint 'vllm' is not among"),
        ("[[endpoints]]\nname = 'a'\nbase_url = 'http://user:pw@host/v1'", "api_key_env"),
        ("root = '/'", "root cannot be set"),
        ("[judge]\nmode = 'maybe'", "judge.mode"),
        ("[judge]\nname = 'smol-proposer'", "two have the same name, smol-proposer"),
        ("[proposer]\nkinds = ['invented']", "proposer.kinds"),
        ("[proposer]\nextra = {model = 'n'}", "extra must not hold model: it is sent anyway"),
        ("[proposer]\nomit = ['prompt']", "proposer.omit"),
    ],
)
def test_what_cannot_be_used_is_said_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as raised:
        loaded(tmp_path, text)
    assert "\n" not in str(raised.value)
    assert str(tmp_path / "odds.toml") in str(raised.value)


OWN_PANEL = """
[[endpoints]]
name = "mine"
base_url = "http://host/v1"
[[labelers]]
name = "l"
endpoint = "mine"
model = "m"
prompt = "token"
method = "token"
"""


def test_an_endpoint_of_ones_own_needs_no_proposer_or_judge_until_one_is_asked(tmp_path: Path) -> None:
    settings = loaded(tmp_path, OWN_PANEL)
    settings.check_labelers()
    assert settings.endpoint_of(settings.llms[0]).name == "mine"
    for config, section in ((settings.proposer, r"\[proposer\]"), (settings.judge, r"\[judge\]")):
        said = f"{config.name} asks the endpoint embedded, which odds.toml does not have: .* under {section}"
        with pytest.raises(InputError, match=said):
            settings.endpoint_of(config)
    both = loaded(tmp_path, OWN_PANEL + '[[endpoints]]\nname = "embedded"\nbase_url = "embedded"\n')
    assert both.endpoint_of(both.judge).base_url == "embedded"


def test_the_default_panel_without_its_endpoint_does_not_start(tmp_path: Path) -> None:
    settings = loaded(tmp_path, '[[endpoints]]\nname = "mine"\nbase_url = "http://host/v1"')
    with pytest.raises(InputError, match=r"smol-verbalised asks the endpoint embedded, .* under \[\[labelers\]\]"):
        settings.check_labelers()


def test_a_secret_in_the_settings_is_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(InputError) as raised:
        loaded(tmp_path, '[[endpoints]]\nname = "a"\nbase_url = "http://user:hunter2@host/v1"')
    assert "hunter2" not in str(raised.value)


PASSWORDS = [
    "postgres:host=db user=odds password=hunter2",
    "postgres:host=db sslpassword='hunter2 3'",
    "postgres:host=db pasword=hunter2",
    "postgres:host=db passwd='hunter2",
    "postgresql://odds:hunter2@db/odds",
    "postgres://odds:hunter2@db/odds",
    "postgresql://odds:hunter2%zz@db/odds",
    "postgresql://odds@db/odds?password=hunter2",
    "postgres:postgresql://odds:hunter2@db/odds",
]


@pytest.mark.parametrize("connection", PASSWORDS)
@pytest.mark.parametrize(
    ("place", "text"), [("ledger", 'ledger = "{}"'), ("warehouse.catalog", '[warehouse]\ncatalog = "{}"')]
)
def test_a_password_of_postgresql_stands_in_no_settings_file(
    tmp_path: Path, place: str, text: str, connection: str
) -> None:
    with pytest.raises(InputError, match=f"{place} holds a password.*PGPASSWORD") as raised:
        loaded(tmp_path, text.format(connection))
    shown = [line for line in traceback.format_exception(raised.value) if "text.format" not in line]
    assert "hunter2" not in "".join(shown)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "connection", ["postgres:host=db user=odds passfile=/x", "postgresql://odds@db/odds", "postgres:", "my/password=x"]
)
def test_a_connection_string_without_a_password_is_taken(tmp_path: Path, connection: str) -> None:
    assert loaded(tmp_path, f'ledger = "{connection}"').ledger == connection


def test_the_environment_may_hold_a_password_and_no_error_shows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ODDS_LEDGER", PASSWORDS[4])
    monkeypatch.setenv("ODDS_WAREHOUSE__CATALOG", PASSWORDS[0])
    assert loaded(tmp_path, "").ledger_path == "postgres:user=odds password=hunter2 dbname=odds host=db"
    for text in ("[judge]\nname = 'smol-proposer'", "nothing = 1", "home = 3"):
        with pytest.raises(InputError) as raised:
            loaded(tmp_path, text)
        assert "hunter2" not in "".join(traceback.format_exception(raised.value))


def test_without_a_file_the_defaults_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_settings().annotation.simulated_annotators == 0
    with pytest.raises(InputError, match="no such settings file"):
        load_settings(tmp_path / "none.toml")


FORMS = [
    "postgresql://odds@db:5433/lake?sslmode=require",
    "postgres://odds@db:5433/lake?sslmode=require",
    "POSTGRESQL://odds@db:5433/lake?sslmode=require",
    "postgres:postgresql://odds@db:5433/lake?sslmode=require",
    "postgres:user=odds dbname=lake host=db port=5433 sslmode=require",
    "postgresql:user=odds dbname=lake host=db port=5433 sslmode=require",
    "user=odds dbname=lake host=db port = 5433 sslmode=require",
]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_connection_string_is_one_address(tmp_path: Path, form: str) -> None:
    settings = loaded(tmp_path, f'ledger = "{form}"\n[warehouse]\ncatalog = "{form}"')
    expected = "postgres:user=odds dbname=lake host=db port=5433 sslmode=require"
    assert (settings.catalog, settings.ledger_path) == (expected, expected)


@pytest.mark.parametrize(
    "address", ["mysql:hunter2", "http://hunter2/x", "s3://hunter2/c.sqlite", "sqlite://hunter2", " mysql:hunter2"]
)
@pytest.mark.parametrize("variable", ["ODDS_LEDGER", "ODDS_WAREHOUSE__CATALOG", "ODDS_WAREHOUSE__DATA_PATH"])
def test_an_unknown_address_is_no_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, address: str
) -> None:
    if (variable, address[:3]) == ("ODDS_WAREHOUSE__DATA_PATH", "s3:"):
        pytest.skip("this one is known")
    scheme = address.partition(":")[0].strip()
    refused(tmp_path, monkeypatch, variable, address, f"^{variable}: odds knows no {scheme}: address")


@pytest.mark.parametrize("address", ["//me:hunter2@host/x", "me:hunter2@host/x", "/ me:hunter2@host"])
@pytest.mark.parametrize("variable", ["ODDS_LEDGER", "ODDS_WAREHOUSE__CATALOG", "ODDS_WAREHOUSE__DATA_PATH"])
def test_a_user_with_a_password_is_no_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, address: str
) -> None:
    said = "odds knows no me: address" if address.startswith("me:") else "it has a user like an address"
    refused(tmp_path, monkeypatch, variable, address, f"^{variable}: {said}")
    name = variable.removeprefix("ODDS_").lower().replace("__", ".")
    with pytest.raises(InputError) as raised:
        loaded(tmp_path, f'{name} = "{address}"')
    assert "hunter2" not in "".join(traceback.format_exception(raised.value))


def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, address: str, said: str) -> None:
    with monkeypatch.context() as patched:
        patched.setenv(variable, address)
        with pytest.raises(InputError, match=said) as raised:
            loaded(tmp_path, "")
    assert "hunter2" not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("ODDS_AGREEMENT", "x", "^ODDS_AGREEMENT: its value must be JSON.*ODDS_AGREEMENT__NAME"),
        ("ODDS_LABELERS", "x", "^ODDS_LABELERS: its value must be JSON$"),
        ("ODDS_AGREEMENT", '{"draws": "x"}', "^ODDS_AGREEMENT: draws: "),
        ("odds_agreement__draws", "x", "^odds_agreement__draws: "),
        ("ODDS_WAREHOUSE__CATALGO", "x", "^ODDS_WAREHOUSE__CATALGO is not a setting"),
        ("ODDS_WAREHUOSE__CATALOG", "x", "^ODDS_WAREHUOSE__CATALOG is not a setting; is ODDS_WAREHOUSE__... meant"),
        ("ODDS_NOWHERE__CATALOG", "x", "^ODDS_NOWHERE__CATALOG is not a setting; remove it"),
        ("ODDS_HOME", "", "^ODDS_HOME: it is empty"),
        ("ODDS_HOME", "  ", "^ODDS_HOME: it is empty"),
        ("ODDS_LEDGR", "x", "^ODDS_LEDGR is not a setting; is ODDS_LEDGER meant"),
        ("ODDS_AGREEMENTS", "1", "^ODDS_AGREEMENTS is not a setting; is ODDS_AGREEMENT meant"),
    ],
)
def test_a_wrong_variable_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    monkeypatch.setenv("ODDS_AGREEMENT__SEED", "3")
    monkeypatch.setenv(variable, value)
    with pytest.raises(InputError, match=said):
        loaded(tmp_path, "")
    monkeypatch.delenv(variable)
    with pytest.raises(InputError, match=r"odds\.toml: agreement\.draws"):
        loaded(tmp_path, "[agreement]\ndraws = 1")


@pytest.mark.parametrize(
    "text",
    [
        'home = ""',
        'ledger = ""',
        '[warehouse]\ncatalog = ""',
        '[warehouse]\ndata_path = ""',
        "[warehouse]\nkeep_snapshots_days = inf",
        "[warehouse]\nkeep_snapshots_days = 1e300",
        "[training]\nlearning_rate = inf",
        "[training]\nmax_minutes = nan",
        "[agreement]\nprecision_tolerance = inf",
        '[annotation]\nurl = ""',
        '[annotation]\nurl = "localhost:8080"',
        '[annotation]\nurl = "https://me:hunter2@labels.example.org"',
        "[[endpoints]]\nname = 'e'\nbase_url = 'https://host/v1'\nprice_in = inf",
        "[[endpoints]]\nname = 'e'\nbase_url = 'https://host/v1'\npatience_s = nan",
        "[[endpoints]]\nname = 'e'\nbase_url = 'https://host/v1'\napi_key_env = 'sk-hunter2'",
        "[annotation]\ntoken_env = 'hunter2 '",
        "[annotation]\ntoken_env = ''",
        "[agreement]\nseed = -1",
    ],
)
def test_nothing_and_no_end_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match=r"odds\.toml: ") as raised:
        loaded(tmp_path, text)
    assert "hunter2" not in str(raised.value)


def test_a_panel_is_needed_only_where_it_is_asked(tmp_path: Path) -> None:
    settings = loaded(tmp_path, "labelers = []")
    with pytest.raises(InputError, match="labelers is empty"):
        settings.check_labelers()


def test_a_full_disk_leaves_no_settings_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_stub(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_stub)
    (tmp_path / "there").mkdir()
    for folder in (tmp_path / "new" / "deep", tmp_path / "there"):
        with pytest.raises(InputError, match="cannot be written: No space left"):
            init(folder)
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]
    monkeypatch.undo()
    assert init(tmp_path / "there").read_text() == template_text()


SUITE = '[[suites]]\nname = "a"\nfile = "a.jsonl"\n'


def test_a_suite_of_the_settings_has_a_file_beside_them(tmp_path: Path) -> None:
    settings = loaded(tmp_path, SUITE + 'format = "unli"\n')
    assert settings.path(settings.suites[0].file) == tmp_path / "a.jsonl"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("", "suite a: a plain file needs a family: correlation, update or choice"),
        ('format = "copa"\nfamily = "choice"\n', "suite a: the format copa implies the family; remove family"),
        ('format = "unlii"\n', "suites.0.format: Input should be 'plain', 'mturk', 'unli', "),
        ('format = "unli"\n' + SUITE + 'format = "joci"\n', "suites: two have the same name, a"),
    ],
)
def test_a_suite_that_cannot_be_is_refused(tmp_path: Path, more: str, said: str) -> None:
    with pytest.raises(InputError) as refused:
        loaded(tmp_path, SUITE + more)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
