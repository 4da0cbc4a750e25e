"""Mistakes in `identity.toml`, each with the exact line that a person reads."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli import app
from gateway.policy.load import policy_from_texts
from gateway.policy.problem import PolicyError
from tests.oauth.issuing import IDENTITY, RESOURCE, ROLES, RULES
from tests.policy.making import MODEL, TOOLS

LEADS = '\n[issuers.staff.roles]\nclaim = "groups"\ngive = { leads = "role:lead" }\n'
ASKING = '\n[issuers.staff.introspection]\nclient_id = "gateway"\nsecret = { env = "SECRET" }\n'
STAFF = IDENTITY[IDENTITY.index("[issuers.staff]") :]
CONSOLE = '\n[issuers.staff.console]\nclient_id = "console"\n'
PARTNERS = STAFF.replace("staff", "partners").replace("id.lark", "partners.lark")
SAME_PEOPLE = "it could name the same people as `staff` in `larkspur`: give each other `domains`, or a `prefix`"


def problems(text: str) -> list[str]:
    try:
        policy_from_texts({"model.conf": MODEL, "roles.csv": ROLES, "rules.csv": RULES, "identity.toml": text}, TOOLS)
    except PolicyError as error:
        return [str(problem).removeprefix("identity.toml:") for problem in error.problems]
    return []


MISTAKES: list[tuple[str, str, list[str]]] = [
    ('"larkspur"\n', '"larkspur\n', ["5:19: error: the file is not TOML: illegal character '\\n'"]),
    ("tenant =", "tennant =",
     ["3:1: error: `tenant` is missing", "5:1: error: unknown key `tennant` — did you mean `tenant`?"]),
    ("staff.person]", "staff.persons]", ["8:1: error: unknown key `persons` — did you mean `person`?"]),
    ('claim = "sub"', 'clam = "sub"', ["9:1: error: unknown key `clam` — did you mean `claim`?"]),
    ('"RS256", ', '"HS256", ', ["6:1: error: `algorithms`: only signatures that nobody but the issuer can make: RS256, "
     "RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA, Ed25519"]),
    ("https://id.", "http://id.", ["3:1: error: `staff`: `issuer` must be `https`, or a loopback address"]),
    ("https://remit.", "http://remit.", ["1:1: error: `resource` must be `https`, or a loopback address"]),
    ('tenant = "larkspur"', 'tenant = "*"', ["5:1: error: name one tenant"]),
    ('desktop = "person"', 'desktop = "persn"',
     ["12:1: error: `desktop`: write `person`, `agent:NAME`, or `agent:NAME alone`"]),
    ('desktop = "person"', '"*" = "agent:all alone"',
     ["12:1: error: an agent that acts for nobody is a client that is named, not every other one"]),
    ("issuers.staff", "issuers.exchange",
     ["3:1: error: `exchange` is what the journal calls this gateway: choose another name"]),
    ('claim = "sub"', 'claim = "sub"\nprefix = "a:"\ndomains = ["x.example"]',
     ["8:1: error: `person`: give one of `prefix` and `domains`"]),
    ("algorithms =", "leeway = 500\nalgorithms =",
     ["6:1: error: `leeway`: input should be less than or equal to 120"]),
]  # fmt: skip
ADDED: list[tuple[str, list[str]]] = [
    (LEADS.replace("role:lead", "role:laed"),
     ["18:1: error: no rule speaks of `role:laed` — did you mean `role:lead`?"]),
    (LEADS.replace("role:lead", "role:everyone"), ["18:1: error: `role:everyone` is had by everyone"]),
    ('\n[scopes]\nread = ["raed"]\n', ["17:1: error: unknown tool `raed` — did you mean `read`?"]),
    ('\n[scopes]\nread = ["crm_gett_*"]\n', ["17:1: error: no tool matches `crm_gett_*` — did you mean `crm_get_*`?"]),
    ('\n[exchange]\nagents = { triage = ["agent:tirage"] }\n',
     ["17:1: error: no client is `agent:tirage` — did you mean `agent:triage`?"]),
    (ASKING.replace('{ env = "SECRET" }', '"hunter2"'),
     ['18:1: error: a secret never stands in this file: write `{ env = "NAME" }` or `{ file = "PATH" }`']),
    (CONSOLE.replace("client_id", "client"),
     ["16:1: error: `client_id` is missing", "17:1: error: unknown key `client` — did you mean `client_id`?"]),
    (CONSOLE.replace('"console"', '"desktop"'),
     ["17:1: error: `desktop` makes calls: the console needs a client of its own"]),
    (CONSOLE.replace('"console"', f'"{RESOURCE}"'),
     [f"17:1: error: tokens for calls are for `{RESOURCE}`: the console needs a client of its own"]),
    (CONSOLE + 'secret = "hunter2"\n',
     ['18:1: error: a secret never stands in this file: write `{ env = "NAME" }` or `{ file = "PATH" }`']),
    (PARTNERS, [f"15:1: error: {SAME_PEOPLE}"]),
    (PARTNERS.replace("partners.lark", "id.lark").replace('"sub"', '"sub"\nprefix = "p:"'),
     [f"15:1: error: {SAME_PEOPLE}", "15:1: error: `staff` has the same `issuer`"]),
    (ASKING + PARTNERS.replace('"larkspur"', '"acme"') + ASKING.replace("staff", "partners"),
     ["19:1: error: `staff` takes opaque tokens too, and they do not say whose they are: `of = \"jwt\"`"]),
]  # fmt: skip
FINE = [
    "",
    LEADS,
    ASKING,
    CONSOLE + 'secret = { env = "SECRET" }\nname = "Larkspur"\nscopes = ["email", "groups"]\n',
    PARTNERS.replace('tenant = "larkspur"', 'tenant = "acme"'),
    '\n[scopes]\nread = ["read"]\nmail = ["email_*", "send"]\n',
    '\n[exchange]\nagents = { triage = ["person"] }\n',
]


@pytest.mark.parametrize(("before", "after", "told"), MISTAKES)
def test_a_mistake_is_told_with_its_line_and_what_to_write(before: str, after: str, told: list[str]) -> None:
    assert problems(IDENTITY.replace(before, after)) == told


@pytest.mark.parametrize(("added", "told"), ADDED)
def test_a_mistake_in_a_further_part_is_told_with_its_line(added: str, told: list[str]) -> None:
    assert problems(IDENTITY + added) == told


@pytest.mark.parametrize("added", FINE)
def test_what_is_right_is_not_complained_about(added: str) -> None:
    assert not problems(IDENTITY + added)


def test_two_issuers_of_one_tenant_name_people_in_their_own_way() -> None:
    ours = IDENTITY.replace('claim = "sub"', 'claim = "email"\ndomains = ["larkspur.example"]')
    theirs = PARTNERS.replace('claim = "sub"', 'claim = "sub"\nprefix = "partner:"')
    assert not problems(ours + theirs)
    plain = PARTNERS.replace('claim = "sub"', 'claim = "email"\ndomains = ["larkspur.example", "partner.example"]')
    assert problems(ours + plain) == [f"16:1: error: {SAME_PEOPLE}"]


def test_every_example_of_the_document_is_right() -> None:
    document = (Path(__file__).parents[2] / "docs" / "sign-in.md").read_text(encoding="utf-8")
    first, *others = re.findall(r"```toml\n(.*?)```", document, re.DOTALL)
    assert len(others) == 6
    resource = first.partition("\n")[0]
    for other in ("", *others):
        goes_on = not other or "[exchange]" in other or "[issuers.staff." in other
        example = f"{first if goes_on else resource}\n{other}"
        assert not problems(example), example


def test_remit_check_shows_the_place(tmp_path: Path) -> None:
    for name, text in (("model.conf", MODEL), ("roles.csv", ROLES), ("rules.csv", RULES)):
        (tmp_path / name).write_text(text)
    file = tmp_path / "identity.toml"
    file.write_text(IDENTITY.replace("tenant =", "tennant ="))
    told = CliRunner().invoke(app, ["check", str(tmp_path)])
    assert told.exit_code == 1
    assert f"{file}:5:1: error: unknown key `tennant` — did you mean `tenant`?" in told.output
    file.write_text(IDENTITY)
    assert CliRunner().invoke(app, ["check", str(tmp_path)]).exit_code == 0
