"""What walks over every tool copes with one of an upstream server."""

from pathlib import Path
from typing import Any

from connectors.contract import Author, Tool
from connectors.mcp_upstream.declaration import read_servers
from connectors.mcp_upstream.tools import make_tool
from connectors.registry import TOOLS
from gateway.catalog import validate
from gateway.console.fields import arguments_in, fields_of, texts_of
from gateway.effect_words import effect_sentence
from gateway.flow.reading import read
from gateway.flow.shown import seen_ids
from gateway.listing import described, narrowed
from gateway.policy.load import policy_from_texts
from gateway.policy.narrowing.narrow import Narrower
from gateway.policy.proof.findings import check_invariants
from tests.policy.making import MODEL
from tests.upstream.conftest import ANA, TEXT, defined, wire_tool

ODD: dict[str, Any] = {
    "class": {"type": "string", "maxLength": 40},
    "amount": {"type": "number", "minimum": 0},
    "to": {"type": "array", "items": TEXT},
    "any": {},
    "inner": {"type": "object", "properties": {"x-y": {"type": "integer"}}, "required": ["x-y"]},
}
SENT = {"class": "a", "amount": 20.5, "to": ["b"], "any": {"k": [1]}, "inner": {"x-y": 1}}
RULES = """\
p, A1, role:agent, up_pay, "args.amount <= 50 and args.class_ in ['a', 'b'] and args.inner.x_y == 1", allow, small
p, A2, role:agent, up_pay, args.amount > 40, ask, larger
"""


def odd_tool(folder: Path) -> Tool:
    (folder / "up.toml").write_text('prefix = "up"\n[stdio]\ncommand = "c"\n[tools.pay]\neffect = "send"\n')
    [server] = read_servers(folder)
    return make_tool(server, defined(wire_tool("pay", **ODD))).tool


def test_rules_narrowing_proofs_forms_and_sentences_know_it(tmp_path: Path) -> None:
    tool = odd_tool(tmp_path)
    tools = (*TOOLS, tool)
    texts = {
        "model.conf": MODEL,
        "roles.csv": "g, person:ana@larkspur.example, role:agent, larkspur\n",
        "rules.csv": RULES,
    }
    policy = policy_from_texts(texts, tools)
    narrowing = Narrower(policy, tools).narrow(ANA)["up_pay"]
    assert "class_" in str(narrowing.words)
    assert narrowed(described(tool), narrowing).input_schema["properties"].keys() == ODD.keys()
    told = check_invariants(policy, tools, 'i, X, any person alone, up_pay, args.amount > 100, never allow, ""')
    assert told == ()
    arguments = validate(tool, SENT).model_dump(mode="json")
    assert [field.name for field in fields_of(tool, texts_of(tool, arguments))] == [*arguments]
    again = validate(tool, arguments_in(tool, texts_of(tool, arguments)))
    assert again == validate(tool, SENT)
    assert "20.5" in effect_sentence(tool, arguments)


def test_plain_json_in_a_result_is_walked_like_models(tmp_path: Path) -> None:
    tool = odd_tool(tmp_path)
    structured = {"id": "f_1", "rows": [{"row_id": "r_2", "n": 1}, {"text": ""}], "deep": {"list": [["x"]]}}
    output = tool.output.model_validate({"structured": structured})
    assert seen_ids(output) == ["f_1", "r_2"]
    assert read(tool, output.model_dump()).untrusted == [
        "structured.id",
        "structured.rows[].row_id",
        "structured.deep.list[][]",
    ]
    many = tool.output.model_validate({"structured": {f"k{number}": "x" for number in range(200)}})
    assert read(tool, many.model_dump()).untrusted == ["structured"]


def test_a_key_that_looks_like_a_declared_path_is_read_as_an_outsiders(tmp_path: Path) -> None:
    declared = '[tools.look]\neffect = "read"\n[tools.look.output]\n"a.b" = { author = "organisation" }\n'
    (tmp_path / "up.toml").write_text(f'prefix = "up"\n[stdio]\ncommand = "c"\n{declared}')
    [server] = read_servers(tmp_path)
    tool = make_tool(server, defined(wire_tool("look"))).tool
    blocks = [{"type": "image", "media_type": "ignore/all"}]
    output = tool.output.model_validate({"structured": {"a.b": "evil", "a": {"b": "ours"}}, "content": blocks})
    found = {value: alike.author for alike in read(tool, output.model_dump()).values for value in alike.values}
    assert (found["ours"], found["evil"], found["ignore/all"]) == (
        Author.ORGANISATION,
        Author.OUTSIDER,
        Author.OUTSIDER,
    )
