"""Ids of mail in other systems lead back to what they name, and what is searched for is only ever text."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from connectors.email import gmail_messages, graph_messages
from connectors.email.imap_names import Place, mark_of, place_of, shown
from connectors.email.imap_session import Text
from connectors.email.showing import attachment_id, attachment_of
from connectors.email.tools import SearchEmail
from connectors.fields import AttachmentId, MessageId, ThreadId

MARK = mark_of("larkspur", "support@larkspur.example")
_PLACES = st.builds(
    Place, st.sampled_from(["inbox", "sent", "archive"]), st.integers(1, 2**32 - 1), st.integers(1, 2**32 - 1)
)
_QUERIES = st.text(st.characters(exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp"]), max_size=60)


def message_id(id_: str) -> str:
    return TypeAdapter[str](MessageId).validate_python(id_)


@given(place=_PLACES)
def test_an_id_of_an_imap_mailbox_says_where_the_message_is_and_to_that_mailbox_alone(place: Place) -> None:
    id_ = message_id(shown("msg", MARK, place))
    assert place_of(id_, MARK) == place
    assert place_of(TypeAdapter[str](ThreadId).validate_python(shown("thr", MARK, place)), MARK) == place
    for tenant, mailbox in (("other", "support@larkspur.example"), ("larkspur", "sales@larkspur.example")):
        assert place_of(id_, mark_of(tenant, mailbox)) is None


@given(place=_PLACES, index=st.integers(0, 99))
def test_an_attachments_id_says_which_of_which_message_it_is(place: Place, index: int) -> None:
    id_ = shown("msg", MARK, place)
    assert attachment_of(TypeAdapter[str](AttachmentId).validate_python(attachment_id(id_, index))) == (id_, index)


@given(id_=st.from_regex(r"(msg|thr|att)_[a-z0-9]{4,40}", fullmatch=True))
def test_an_id_that_was_made_elsewhere_names_nothing(id_: str) -> None:
    assert place_of(id_, MARK) is None


@given(seconds=st.integers(0, 2**33), name=st.text(min_size=1, max_size=200))
def test_an_id_of_a_graph_message_says_in_which_second_to_look_for_it(seconds: int, name: str) -> None:
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    id_ = message_id(graph_messages.shown("msg", at, name))
    assert graph_messages.when_of(id_) == at
    assert graph_messages.is_of(id_, name)
    assert not graph_messages.is_of(id_, f"{name}x")


@given(text=_QUERIES)
def test_a_text_of_an_imap_search_cannot_end_its_quotes(text: str) -> None:
    sent = Text(text).sent
    if text.isascii():
        bare = sent[1:-1].replace(b"\\\\", b"").replace(b'\\"', b"")
        assert (sent[:1], sent[-1:]) == (b'"', b'"')
        assert b'"' not in bare
        assert b"\\" not in bare
    else:
        assert sent == text.encode()


@given(query=_QUERIES)
def test_no_word_of_a_query_becomes_an_operator_of_gmail_or_graph(query: str) -> None:
    args = SearchEmail(mailbox="support@larkspur.example", query=query)
    terms = gmail_messages.query_of(args).removeprefix("-in:drafts -in:chats").split()
    assert all(term[0] == term[-1] == '"' and '"' not in term[1:-1] for term in terms)
    found = graph_messages.search_of(args)[1:-1]
    assert all(term[:2] == '\\"' == term[-2:] and '"' not in term[2:-2] for term in found.split(" AND ") if term)
