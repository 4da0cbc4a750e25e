"""What an operator's file may say, and what is told of a mistake."""

from pathlib import Path

import pytest

from connectors.contract import Author, Confidentiality, Idempotency, Sink
from connectors.mcp_upstream.declaration import BadUpstream, Server, read_servers
from connectors.mcp_upstream.definition import Definition
from connectors.mcp_upstream.schema import Unusable
from connectors.mcp_upstream.tools import make_tool, name_here
from connectors.registry import AREAS
from gateway.upstream.catalogue import read_pinned
from tests.upstream.conftest import TEXT, Upstream, defined, wire_tool

EXAMPLE = Path(__file__).parents[2] / "examples" / "upstream.toml"
STDIO = 'prefix = "x"\n[stdio]\ncommand = "c"\n'


def read(folder: Path, text: str, name: str = "shop") -> Server:
    (folder / f"{name}.toml").write_text(text)
    [server] = read_servers(folder, AREAS)
    return server


def declared(folder: Path, text: str) -> Server:
    return read(folder, STDIO + text)


def test_the_example_is_a_good_file(tmp_path: Path) -> None:
    server = read(tmp_path, EXAMPLE.read_text(), "workspace")
    assert server.tools["send_email"].arguments["recipients[]"].sink is Sink.RECIPIENT


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('prefix = "x"\n', "shop.toml:1: give one of `[stdio]` and `[http]`"),
        ('prefix = "x"\n[stdio]\ncommand = "c"\n[http]\nurl = "https://a.example"\n', "give one of"),
        ('prefix = "x"\n[http]\nurl = "http://a.example/mcp"\n', "`url` must be `https`, or a loopback address"),
        ('prefix = "x"\n[http]\nurl = "http://127.0.0.1.evil.example/"\n', "must be `https`"),
        ('prefix = "x"\n[http]\nurl = "https://user:pw@a.example"\n', "`http.url`"),
        ('prefix = "x y"\n[stdio]\ncommand = "c"\n', "shop.toml:1: `prefix`"),
        (STDIO + "timout = 3\n", "shop.toml:4: `stdio.timout`: unknown field"),
        ("timout = 3\n" + STDIO, "shop.toml:1: `timout`: unknown field — did you mean `timeout`?"),
        (STDIO + '[tools.pay]\nefect = "send"\n', "`tools.pay.efect`: unknown field — did you mean `effect`?"),
        (STDIO + "[tools.pay]\n", "`tools.pay.effect`: missing"),
        (STDIO + '[tools.pay]\neffect = "sends"\n', "shop.toml:5: `tools.pay.effect`"),
        (STDIO + '[tools.pay]\neffect = "read"\nidempotency = "version"\n', "a read needs none"),
        (STDIO + '[tools.pay]\neffect = "send"\nidempotency = "key"\n', "`tools.pay.idempotency`"),
        (STDIO + '[tools.pay]\neffect = "send"\n[tools.pay.arguments]\nto = { sink = "to" }\n', "shop.toml:7:"),
        (STDIO + "= 3\n", "shop.toml"),
        ('prefix = "x"\n[http]\nurl = "https://a.example"\n[http.headers]\nA = { }\n', "one of `env` and `file`"),
    ],
)
def test_a_mistake_is_told_with_file_line_and_suggestion(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(BadUpstream) as raised:
        read(tmp_path, text)
    assert told in str(raised.value)


@pytest.mark.parametrize("name", ["crm", "email", "Shop", "a-b"])
def test_a_server_cannot_have_the_name_of_an_area_or_a_strange_one(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadUpstream, match="a server's name"):
        read(tmp_path, STDIO, name)


def test_names_are_mapped_safely_and_uniquely(tmp_path: Path) -> None:
    server = declared(tmp_path, "")
    names = [
        "send",
        "send-mail",
        "send.mail",
        "send/mail",
        "send mail",
        "s" * 200,
        "s" * 201,
        "",
        "ünïcode",
        "a\u200bb",
    ]
    mapped = [name_here(server, name) for name in names]
    assert mapped[0] == "x_send"
    assert len(set(mapped)) == len(names)
    assert all(name.isascii() and name.replace("_", "").isalnum() and len(name) <= 64 for name in mapped)


def test_what_is_not_declared_counts_as_the_worst(tmp_path: Path) -> None:
    schema = {
        "type": "object",
        "properties": {
            "to": {"type": "array", "items": {"type": "string", "format": "email"}},
            "note": {"anyOf": [TEXT, {"type": "null"}]},
            "link": {"type": "string", "format": "uri"},
            "files": {"type": "array", "items": {"type": "object", "properties": {"id": TEXT}}},
            "free": {"type": "object"},
            "count": {"type": "integer"},
            "quiet": TEXT,
        },
    }
    quiet = '[tools.send.arguments]\nquiet = { sink = "none" }\n'
    text = f'[tools.send]\neffect = "send"\n{quiet}[tools.look]\neffect = "read"\n'
    server = declared(tmp_path, text)
    send = make_tool(server, Definition("send", input_schema=schema)).tool
    look = make_tool(server, Definition("look", input_schema=schema)).tool
    content = dict.fromkeys(("note", "files[].id", "free"), Sink.CONTENT)
    assert send.sinks == {"to[]": Sink.RECIPIENT, "link": Sink.URL, **content}
    assert look.sinks == {"link": Sink.URL}
    assert send.authors["content[].text"] is Author.OUTSIDER
    assert send.confidentiality["content[].text"] is Confidentiality.CUSTOMER
    assert (send.idempotency, look.idempotency) == (Idempotency.AT_MOST_ONCE, Idempotency.NONE_NEEDED)


def test_declared_results_become_labels_of_paths_into_the_structured_result(tmp_path: Path) -> None:
    text = """[tools.look]
effect = "read"
[tools.look.output]
"mails[].from" = { author = "system", kept = true, personal = true, namespace = "address" }
"mails[].by_staff" = { written_by = { true = "organisation" } }
"""
    tool = make_tool(declared(tmp_path, text), Definition("look")).tool
    assert tool.authors["structured.mails[].from"] is Author.SYSTEM
    assert tool.written_by["structured.mails[].by_staff"].authors == ((True, Author.ORGANISATION),)
    assert tool.kept == {"structured.mails[].from"} == set(tool.personal_output)
    assert tool.namespaces == {"structured.mails[].from": "address"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            '[tools."pay".arguments]\nfrm = { sink = "none" }',
            "`arguments.frm` is declared, and the tool has no such path",
        ),
        ('[tools."pay".arguments]\n"to[]" = { sink = "none" }', "did you mean `to`?"),
        ('[tools."pay".output]\n"rows.id" = { }', "did you mean `rows[].id`?"),
    ],
)
def test_a_path_that_the_tool_does_not_have_is_told_with_its_line(up: Upstream, text: str, told: str) -> None:
    rows = {"type": "array", "items": {"type": "object", "properties": {"id": TEXT}}}
    up.offers(
        {**wire_tool("pay", to=TEXT), "outputSchema": {"type": "object", "properties": {"rows": rows}}}, "send", text
    )
    up.write()
    up.accept()
    with pytest.raises(BadUpstream) as raised:
        read_pinned(up.folder)
    assert told in str(raised.value)
    assert "up.toml:" in str(raised.value)


BOMB = {"a0": {"type": "string"}, **{f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n - 1}"}] * 2} for n in range(1, 30)}}


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"properties": {"a": {"$ref": "https://evil.example/schema.json"}}}, "leads out of the schema"),
        ({"properties": {"a": {"$ref": "file:///etc/passwd"}}}, "leads out of the schema"),
        ({"properties": {"a": {"$ref": "#/$defs/a29"}}, "$defs": BOMB}, "too large"),
        ({"properties": {"a": {"type": "string", "pattern": "(?=x)y"}}}, "linear time"),
        ({"patternProperties": {"(a+)+$": {}}}, "not supported"),
        ({"properties": {f"p{n}": {} for n in range(200)}}, "at most 100"),
        ({"type": "array"}, "not of type `object`"),
        ({"properties": {"a": {"type": "no-such-type"}}}, "not valid"),
        ({"properties": {"a": {"default": float("nan")}}}, "JSON has not"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_schema_that_cannot_be_checked_safely_is_unusable(
    tmp_path: Path, schema: dict[str, object], told: str
) -> None:
    server = declared(tmp_path, '[tools.pay]\neffect = "send"\n')
    with pytest.raises(Unusable, match=told):
        make_tool(server, Definition("pay", input_schema={"type": "object", **schema}))


def test_a_backtracking_pattern_costs_linear_time(tmp_path: Path) -> None:
    server = declared(tmp_path, '[tools.pay]\neffect = "send"\n')
    tool = defined(wire_tool("pay", a={"type": "string", "pattern": "^(a+)+$"}))
    made = make_tool(server, tool).tool
    with pytest.raises(ValueError, match="does not match"):
        made.input.model_validate({"a": "a" * 50_000 + "!"})


def test_pins_that_somebody_edited_are_refused(up: Upstream) -> None:
    up.offers(wire_tool("pay"))
    up.write()
    up.accept()
    file = up.folder / "up.pins.json"
    file.write_text(file.read_text().replace("Does it.", "Obey."))
    with pytest.raises(BadUpstream, match="not the definition that its hash names"):
        read_pinned(up.folder)
