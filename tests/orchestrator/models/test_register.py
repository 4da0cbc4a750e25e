import re
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from gateway.cli import app
from orchestrator.models.asking import LEVELS
from orchestrator.models.choosing import register_of
from orchestrator.models.register import BadRegister, Model, read_register
from orchestrator.settings import SHIPPED_MODELS
from tests.orchestrator.models.asking import KEYS, REGISTER

GOOD = REGISTER.format(address="https://models.example")


def read(tmp_path: Path, text: str) -> None:
    path = tmp_path / "models.toml"
    path.write_text(text)
    read_register(path).check_keys(KEYS)


def test_the_register_of_these_tests_is_good(tmp_path: Path) -> None:
    read(tmp_path, GOOD)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('prices = {{ input = "0.25", cached_input = "0.025", output = "2" }}', "", "give either `prices` or `free"),
        ("free = true", "free = false", "`models.rules`: give either `prices` or `free = true`"),
        ('cached_input = "0.025"', 'cashed_input = "0.025"', "`models.small.prices.cashed_input`: extra inputs"),
        ('output = "2"', 'output = "-2"', "`models.small.prices.output`: input should be greater"),
        ('output = "2"', 'output = "nan"', "`models.small.prices.output`: input should be a finite number"),
        (', output = "2"', "", "`models.small.prices.output`: field required"),
        ('may_see = "internal"', 'may_see = "everything"', "`models.small.may_see`: input should be 'public'"),
        ('may_see = "internal"', "", "`models.small.may_see`: field required"),
        ('retention = "30 days"', "", "`models.small.retention`: field required"),
        ('endpoint = "https://models.example/v1"', "", "`models.small`: give `model`, the provider's name for it"),
        ("https://models.example/v1", "https://user:pw@models.example/v1", "`models.small.endpoint`"),
        ("context = 8_000", "context = 8_000\nwindow = 3", "`models.small.window`: extra inputs are not permitted"),
        ("vision = true", "embedding = true", '`embedding` needs `provider = "openai"`'),
        ('["small", "claude"]', '["small", "cloud"]', "names `cloud`, which is not under `[models]`: add it there"),
        ('key = "SMALL_KEY"', 'key = "OTHER_KEY"', "model `small` needs `OTHER_KEY` in the environment: set it"),
        ("[routes]", "[routes", "is no TOML:"),
        ("[routes]", "[budgets.person]\n[routes]", "`budgets.person`: extra inputs are not permitted"),
        ("[routes]", '[budgets.team]\nevery = { usd = "1", per = "year" }\n[routes]', "`budgets.team.every.per`"),
    ],
)
def test_what_is_wrong_with_a_register_is_said_with_its_place(tmp_path: Path, old: str, new: str, told: str) -> None:
    changed = GOOD.replace(old.replace("{{", "{").replace("}}", "}"), new, 1)
    assert changed != GOOD
    with pytest.raises(BadRegister) as caught:
        read(tmp_path, changed)
    assert told in str(caught.value)


def test_a_register_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadRegister, match="cannot be read"):
        read_register(tmp_path / "models.toml")


def test_the_shipped_register_works_without_a_key_and_with_what_stands_in_its_comments(tmp_path: Path) -> None:
    read_register(SHIPPED_MODELS).check_keys({})
    example = re.sub(r"^# (?=\[|[a-z_.]+ = )", "", SHIPPED_MODELS.read_text(), flags=re.MULTILINE)
    (tmp_path / "models.toml").write_text(example)
    whole = read_register(tmp_path / "models.toml")
    assert set(whole.models) == {"stand-in", "small", "capable"}
    assert whole.budgets.task.every


def test_the_register_knows_the_same_levels_as_a_request() -> None:
    assert list(LEVELS) == Model.model_json_schema()["properties"]["may_see"]["enum"]


PRICE = st.decimals(0, 1_000, places=6)


@given(
    prices=st.tuples(PRICE, PRICE, PRICE),
    tokens=st.integers(0, 10**6),
    share=st.floats(0, 1),
    output=st.integers(0, 10**6),
)
def test_a_cost_is_exact_rounded_up_once_and_never_more_than_the_most(
    prices: tuple[Decimal, Decimal, Decimal], tokens: int, share: float, output: int
) -> None:
    names = ("input", "cached_input", "output")
    model = register_of("", {}).models["stand-in"].model_copy(update={"free": False})
    priced = Model.model_validate(model.model_dump() | {"prices": dict(zip(names, prices, strict=True))})
    cached = int(tokens * share)
    exact = ((tokens - cached) * prices[0] + cached * prices[1] + output * prices[2]) * 1_000
    cost = priced.cost(tokens, cached, output)
    assert exact <= cost < exact + 1
    assert cost <= priced.most(tokens, output)


@pytest.mark.parametrize(
    ("name", "environment", "label", "endpoint"),
    [
        ("", {}, "stand-in", ""),
        ("", {"OPENAI_API_KEY": "k"}, "openai:gpt-5.6-luna", "https://api.openai.com/v1"),
        ("m:7b", {"OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}, "openai:m:7b", "http://127.0.0.1:1/v1"),
        ("claude-x", {"ANTHROPIC_API_KEY": "k"}, "anthropic:claude-x", "https://api.anthropic.com"),
    ],
)
def test_without_a_register_the_keys_in_the_environment_make_one(
    name: str, environment: dict[str, str], label: str, endpoint: str
) -> None:
    made = register_of(name, environment)
    assert (list(made.models), made.models[label].endpoint) == ([label], endpoint)
    assert made.routes["default"].models == [label]
    made.check_keys(environment)


def command(*words: str, **environment: str) -> str:
    result = CliRunner().invoke(app, words, env=environment)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_register_is_listed_for_whoever_answers_for_where_data_goes(tmp_path: Path) -> None:
    path = tmp_path / "models.toml"
    path.write_text(GOOD)
    told = command("models", REMIT_MODELS=str(path), SMALL_KEY="sk-small")
    (small,) = [row for row in told.splitlines() if row.startswith("small ") and "eu" in row]
    for word in ("openai small", "eu", "30 days", "internal", "0.25 in, 0.025 cached, 2 out", "SMALL_KEY"):
        assert word in small
    assert "CLAUDE_KEY (not set)" in told
    assert "sk-small" not in told
    assert "small, claude" in told


def test_costs_are_told_as_csv(tmp_path: Path) -> None:
    told = command("cost", "--by", "team", "--since", "2026-01-01", REMIT_HOME=str(tmp_path))
    assert told.startswith("team,requests,from_cache,failed,input_tokens,")
    assert told.endswith(",usd,reserved_usd\n")
