"""What `remit diff` says of two policies: lines, access in words, and revisions of a repository."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli import app
from gateway.policy.comparing.diff import differences
from gateway.policy.comparing.matrix import NEVER, access, changed_access
from gateway.policy.comparing.revisions import NoSuchPolicy, texts_at
from gateway.policy.load import policy_from_texts
from gateway.policy.problem import Problem
from tests.policy.making import MODEL, SHIPPED, TEAM, TOOLS, policy, team_rules

NAMES = ["crm_issue_refund", "crm_get_contact"]
OLD = team_rules("crm_issue_refund | args.amount <= 50 | allow | small", "crm_issue_refund | args.amount > 50 | ask")
NEW = team_rules("crm_issue_refund | args.amount <= 80 | allow | small", "crm_get_contact |  | allow")


def told(old: str, new: str, **texts: str) -> list[str]:
    return [str(each) for each in differences(policy(old, **texts), policy(new, **texts))]


def test_rules_are_told_by_id_with_the_fields_that_differ() -> None:
    assert told(OLD, NEW) == [
        "changed rule R1: condition args.amount <= 50 → args.amount <= 80",
        "changed rule R2: tool crm_issue_refund → crm_get_contact; condition args.amount > 50 → nothing; "
        "effect ask → allow",
    ]


def test_an_added_and_a_removed_line_are_told_whole() -> None:
    more = OLD + '\np, R9, role:team, crm_get_*, "", deny, "no reading"'
    assert told(OLD, more) == ["added rule R9: role role:team; tool crm_get_*; effect deny; note no reading"]
    assert told(more, OLD)[0].startswith("removed rule R9: role role:team")


def test_order_blanks_and_comments_make_no_difference() -> None:
    lines = OLD.splitlines()
    assert (
        told(OLD, "# said otherwise\n" + "\n".join(reversed(lines)).replace("args.amount  <=", "args.amount<=")) == []
    )


def test_who_gets_a_role_and_what_stands_in_a_list_is_told() -> None:
    rules = OLD + '\np, R9, role:team, crm_get_*, "tenant in lists.ours", allow, ""'
    roles = "g, person:ana, role:team, acme\ng, agent:bot, role:bot, acme\n"
    before = policy(rules, roles, lists="list, ours, acme")
    after = policy(rules, roles + "g, person:eve, role:team, *\n", lists="list, ours, acme\nlist, ours, globex")
    assert [str(each) for each in differences(before, after)] == [
        "added role person:eve has role:team in every tenant",
        "changed list ours: values 'acme' → 'acme', 'globex'",
    ]
    in_words = {(cell.row, cell.tool): (cell.before, cell.after) for cell in changed_access(before, after, NAMES)}
    assert in_words["person:eve in every tenant", "crm_get_contact"] == (NEVER, "may when tenant in lists.ours")
    # The words stay, but the list in them is another.
    assert in_words["role:team", "crm_get_contact"] == ("may when tenant in lists.ours",) * 2
    assert ("role:team", "crm_issue_refund") not in in_words


def test_how_long_is_kept_is_told_and_makes_another_version() -> None:
    texts = {"model.conf": MODEL, "roles.csv": TEAM, "rules.csv": OLD}
    kept = [
        policy_from_texts({**texts, "retention.csv": text}, TOOLS)
        for text in ("keep, *, acme, 400d\nkeep, crm_*, *, 30d", "keep, *, acme, 90d\nkeep, ticket_*, *, 30d")
    ]
    assert list(map(str, differences(*kept))) == [
        "changed retention of * in acme: days 400 → 90",
        "removed retention of crm_* in every tenant: days 30",
        "added retention of ticket_* in every tenant: days 30",
    ]
    assert kept[0].version != kept[1].version


def test_access_is_told_in_words_with_the_strictest_first() -> None:
    rules = team_rules(
        "crm_issue_refund |  | allow", "crm_issue_refund | args.amount > 50 | ask", "crm_* | args.amount > 500 | deny"
    )
    rules = rules.replace("crm_*", "crm_issue_refund")
    words = access(policy(rules), NAMES)["role:team", "crm_issue_refund"].words
    assert words == "never when args.amount > 500, must ask when args.amount > 50, may otherwise"


def test_a_denied_tool_is_never_whatever_else_is_said() -> None:
    rules = team_rules("crm_issue_refund |  | allow", "crm_issue_refund |  | deny")
    assert access(policy(rules), NAMES)["person:ana in acme", "crm_issue_refund"].words == NEVER


def test_what_a_role_includes_counts_for_it() -> None:
    roles = "g, role:lead, role:team, acme\ng, person:ana, role:lead, acme\ng, agent:bot, role:bot, acme\n"
    assert access(policy(OLD, roles), NAMES)["role:lead", "crm_issue_refund"].words == (
        "must ask when args.amount > 50, may when args.amount <= 50"
    )


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository whose first commit (tag `v1`) has the shipped policy and whose second has another limit."""
    folder = tmp_path / "repo" / "policies"
    shutil.copytree(SHIPPED, folder)
    git(folder.parent, "init", "-q", "-b", "main")
    git(folder.parent, "add", "policies")
    git(folder.parent, "commit", "-q", "-m", "shipped")
    git(folder.parent, "tag", "v1")
    rules = folder / "rules.csv"
    changed = rules.read_text("utf-8").replace('"args.amount <= 50", allow', '"args.amount <= 60", allow')
    rules.write_text(changed.replace('"50 < args.amount <= 500"', '"60 < args.amount <= 500"'), "utf-8")
    git(folder.parent, "commit", "-q", "-a", "-m", "more")
    return folder


def git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=t", "-c", "user.email=t@t.example", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True)


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, list(arguments))
    return done.exit_code, done.output


@pytest.mark.parametrize("sides", [["v1..main"], ["v1..HEAD"], ["v1", "main"], ["v1"], ["HEAD~1.."]])
def test_two_revisions_are_compared(repository: Path, sides: list[str]) -> None:
    status, said = run("diff", *sides, "--policies", str(repository))
    assert status == 0
    assert "changed rule F01: condition args.amount <= 50 → args.amount <= 60" in said
    assert "role:refund_standard" in said


def test_a_folder_is_compared_with_a_revision_and_told_as_json(repository: Path) -> None:
    status, said = run("diff", str(SHIPPED), "v1", "--policies", str(repository), "--json")
    found = json.loads(said)
    assert (status, found["lines"], found["access"], found["replay"]) == (0, [], [], None)
    assert found["old"] == found["new"]
    changed = json.loads(run("diff", "v1", "main", "--policies", str(repository), "--json")[1])
    assert changed["lines"][0]["fields"] == {"condition": {"old": "args.amount <= 50", "new": "args.amount <= 60"}}
    assert {cell["tool"] for cell in changed["access"]} == {"crm_issue_refund"}


def test_a_revision_that_does_not_exist_or_looks_like_an_option_is_refused(repository: Path) -> None:
    problems: list[Problem] = []
    for wrong in ("nothing", "--output=x", "v1:policies"):
        with pytest.raises(NoSuchPolicy, match="neither a folder nor a git revision"):
            texts_at(wrong, repository, problems)
    git(repository.parent, "rm", "-r", "-q", "policies")
    git(repository.parent, "commit", "-q", "-m", "gone")
    repository.mkdir()
    with pytest.raises(NoSuchPolicy, match="has no folder"):
        texts_at("HEAD", repository, problems)


def test_a_revision_that_cannot_be_loaded_is_named_with_the_place(repository: Path) -> None:
    (repository / "rules.csv").write_text("p, X1, role:nobody, crm_*, , allow, \n", "utf-8")
    git(repository.parent, "commit", "-q", "-a", "-m", "broken")
    done = CliRunner().invoke(app, ["diff", "v1", "HEAD", "--policies", str(repository)])
    assert str(done.exception).startswith("HEAD: ")


def test_prove_implies_names_what_got_looser(repository: Path) -> None:
    status, said = run("prove", str(repository), "--implies", "v1", "main")
    assert status == 1
    assert "crm_issue_refund broken" in said
    assert "was ask, is now allow" in said
    assert run("prove", str(repository), "--implies", "v1", "v1")[0] == 0
