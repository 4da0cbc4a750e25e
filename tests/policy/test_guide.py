"""Everything that the policy guide shows is loaded, tested and proved."""

import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import pytest

from gateway.policy.lint.lint import check_folder
from gateway.policy.problem import Problem
from gateway.policy.proof.invariants import read_invariants
from gateway.policy.proof.prove import prove_invariants
from gateway.policy.proof.world import Status
from gateway.policy.testing.cases import load_cases
from gateway.policy.testing.trials import run_cases
from tests.policy.making import MODEL, TOOLS

GUIDE = Path(__file__).parents[2] / "docs" / "policy-guide.md"
_SECTION = re.compile(r"^## (?P<title>.+)\n(?P<text>(?:(?!## ).*\n)*)", re.MULTILINE)
_BLOCK = re.compile(r"^```(?P<language>\w+)\n# (?P<file>\S+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
LANGUAGES = {".csv": "csv", ".yaml": "yaml"}


def sections() -> Mapping[str, Mapping[str, str]]:
    """The files that each section shows, by name."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for section in _SECTION.finditer(GUIDE.read_text("utf-8")):
        for block in _BLOCK.finditer(section["text"]):
            assert block["language"] == LANGUAGES[Path(block["file"]).suffix]
            found[section["title"]][block["file"]] = block["text"]
    return found


SECTIONS = sections()
NEEDS = [title for title in SECTIONS if title[0].isdigit()]


@pytest.fixture
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    (tmp_path / "tests").mkdir()
    (tmp_path / "model.conf").write_text(MODEL, "utf-8")
    for file, text in SECTIONS[request.param].items():
        (tmp_path / file).write_text(text, "utf-8")
    return tmp_path


def test_every_block_of_the_guide_is_one_of_those_that_are_tried_here() -> None:
    assert GUIDE.read_text("utf-8").count("\n```") == 2 * sum(map(len, SECTIONS.values()))


@pytest.mark.parametrize("title", NEEDS)
def test_each_need_has_its_rules_a_test_and_a_proof(title: str) -> None:
    files = SECTIONS[title].keys()
    assert files >= {"roles.csv", "rules.csv", "invariants.csv"}
    assert any(file.startswith("tests/") for file in files)


@pytest.mark.parametrize("folder", SECTIONS, indirect=True)
def test_what_the_guide_shows_is_a_policy_without_doubts_and_passes_its_tests(folder: Path) -> None:
    policy, problems = check_folder(folder, TOOLS)
    # A small example leaves most tools out on purpose.
    assert [str(problem) for problem in problems if problem.code != "unreachable-tool"] == []
    assert policy
    report = run_cases(policy, load_cases(folder, TOOLS))
    assert [f"{trial.case.name}: {trial.expected}, got {trial.actual}" for trial in report.failures] == []
    assert report.trials
    assert [rule.id for rule in report.unreached] == []


@pytest.mark.parametrize("folder", NEEDS, indirect=True)
def test_what_the_guide_claims_is_proved(folder: Path) -> None:
    policy, _ = check_folder(folder, TOOLS)
    assert policy
    mistakes: list[Problem] = []
    found = read_invariants((folder / "invariants.csv").read_text("utf-8"), policy, TOOLS, mistakes)
    assert not mistakes
    answers = {each.id: (answer.status, answer.reason) for each, answer in prove_invariants(policy, TOOLS, found)}
    assert answers == dict.fromkeys(answers, (Status.PROVED, ""))
    assert answers
