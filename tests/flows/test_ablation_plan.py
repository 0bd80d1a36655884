"""A plan of an ablation: its variants, and its mistakes, each in one line with the file and the key."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.ablation.plan import read_plan
from flows.settings.settings import load_settings
from warehouse.errors import InputError


def plan_file(folder: Path, text: str) -> Path:
    (folder / "odds.toml").write_text('[training]\nlevels = 5\nloss = "reverse"\n')
    path = folder / "plan.toml"
    path.write_text(text)
    return path


def test_variants_change_the_base_one_by_one(tmp_path: Path) -> None:
    text = """
    seeds = [3, 1]
    items = 50
    [base]
    training.max_steps = 7
    training.pair_rate = 2.0
    publish.pairs_weight = 0.5
    [[variants]]
    name = "no pairs"
    training.pair_rate = 0
    [[variants]]
    name = "half"
    publish.pairs_weight = 0.25
    """
    plan = read_plan(plan_file(tmp_path, text), load_settings(tmp_path / "odds.toml"))
    assert (plan.name, plan.seeds, plan.items) == ("plan", (3, 1), 50)
    assert [each.name for each in plan.variants] == ["default", "no pairs", "half"]
    assert [each.training.pair_rate for each in plan.variants] == [2.0, 0.0, 2.0]
    assert {(each.training.max_steps, each.training.levels, each.training.loss) for each in plan.variants} == {
        (7, 5, "reverse")
    }
    assert [dict(each.weights) for each in plan.variants] == [
        {"pairs_weight": 0.5}, {"pairs_weight": 0.5}, {"pairs_weight": 0.25},
    ]  # fmt: skip
    assert [each.told for each in plan.variants] == [
        "{}", '{"training.pair_rate": 0}', '{"publish.pairs_weight": 0.25}',
    ]  # fmt: skip


def test_a_variant_is_what_odds_train_makes_of_the_same_settings(tmp_path: Path) -> None:
    """Neither kind nor tuning is in the settings, so both follow from the base of each variant."""
    made = {"whole": 'base = "embedded"', "all": 'tuning = "full"'}
    text = "".join(f'[[variants]]\nname = "{name}"\ntraining.{line}\n' for name, line in made.items())
    plan = read_plan(plan_file(tmp_path, text), load_settings(tmp_path / "odds.toml"))
    assert [(each.training.base, each.training.kind, each.training.tuned) for each in plan.variants] == [
        ("pretrained", "encoder", "lora"), ("embedded", "causal", "lora"), ("pretrained", "encoder", "full"),
    ]  # fmt: skip
    assert {each.training.loss for each in plan.variants} == {"reverse"}


def test_a_grid_has_all_combinations_without_the_default(tmp_path: Path) -> None:
    text = 'name = "both"\n[grid]\ntraining.levels = [5, 20]\ntraining.target = ["mixture", "gaussian"]\n'
    plan = read_plan(plan_file(tmp_path, text), load_settings(tmp_path / "odds.toml"))
    assert plan.name == "both"
    assert plan.seeds == (0,)
    assert [(each.name, each.training.levels, each.training.target) for each in plan.variants] == [
        ("default", 5, "mixture"),
        ("levels=5, target=gaussian", 5, "gaussian"),
        ("levels=20, target=mixture", 20, "mixture"),
        ("levels=20, target=gaussian", 20, "gaussian"),
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("seeds = [0", "not valid TOML: "),
        ("seed = [0]", "seed is not a setting; remove it or correct its name"),
        ("seeds = []", "seeds: Tuple should have at least 1 item"),
        ("seeds = [1, 1]", "seeds: 1 occurs twice"),
        ("items = 3", "items: Input should be greater than or equal to 20"),
        ("", "there is nothing to compare; add"),
        ("[[variants]]\ntraining.loss = 'crps'", "variants.0.name: Field required"),
        ("[[variants]]\nname = 'a'", "a is the same as default; remove it"),
        ("[[variants]]\nname = 'a'\npublish.pairs_weight = 0.0", "a is the same as default; remove it"),
        (
            "[grid]\ntraining.recalibrate = ['none', 'beta']",
            "grid: training.recalibrate cannot vary: its map is fitted",
        ),
        ("[[variants]]\nname = 'a'\nlabelers.x = 1", "variants.0.labelers is not a setting"),
        ("[[variants]]\nname = 'a'\ntraining.los = 'crps'", "variants.0: training.los is not a setting"),
        (
            "[[variants]]\nname = 'a'\ntraining.loss = 'l2'",
            "variants.0: training.loss: Input should be 'forward', 'reverse', 'crps' or 'wasserstein' (given: 'l2')",
        ),
        ("[[variants]]\nname = 'default'\ntraining.loss = 'crps'", "two variants are named default"),
        (
            "[[variants]]\nname = 'a'\ntraining.max_steps = 9",
            "variants.0: training.max_steps cannot vary: all",
        ),
        ("[base]\ntraining.seed = 9", "base: training.seed cannot vary: seeds has them"),
        ("[grid]\ntraining.levels = 5", "grid: training.levels must be a list of values"),
        ("[grid]\npublish.near_duplicates = [0.5]", "grid: publish.near_duplicates cannot vary; of publish, human_w"),
        ("[grid]\npublish.pairs_weight = [-1]", "grid: publish.pairs_weight: Input should be greater than or equal"),
    ],
)
def test_a_mistake_is_one_line_with_file_and_key(tmp_path: Path, text: str, line: str) -> None:
    path = plan_file(tmp_path, text)
    with pytest.raises(InputError) as raised:
        read_plan(path, load_settings(tmp_path / "odds.toml"))
    assert str(raised.value).startswith(f"{path}: {line}")
    assert "\n" not in str(raised.value)


def test_a_plan_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.toml: no such plan; docs/ablation.md has an example"):
        read_plan(tmp_path / "nowhere.toml", load_settings(plan_file(tmp_path, "").with_name("odds.toml")))


@pytest.mark.parametrize("file", ["docs/ablation.md", "benchmarks/ablation.toml"])
def test_the_plans_that_come_with_odds_can_be_read(tmp_path: Path, file: str) -> None:
    text = (Path(__file__).parents[2] / file).read_text(encoding="utf-8")
    text = text.split("```toml\n")[1].split("```")[0] if file.endswith(".md") else text
    plan = read_plan(plan_file(tmp_path, text), load_settings(tmp_path / "odds.toml"))
    assert plan.name == "recipe"
    assert all(each.training.max_steps for each in plan.variants)


def test_the_plan_about_pairs_shows_every_variant_each_proposition_once(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "benchmarks/ablation_pairs.toml").read_text(encoding="utf-8")
    plan = read_plan(plan_file(tmp_path, text), load_settings(tmp_path / "odds.toml"))
    assert {(each.training.epochs, each.training.max_steps, each.training.max_minutes) for each in plan.variants} == {
        (1, None, None)
    }
    assert {each.training.pair_rate for each in plan.variants} == {0, 1, 2}
