"""Whatever is logged, a note gives back; and nobody's text passes for what the key left."""

from datetime import UTC, datetime
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from connectors.crm.hubspot_rows import html_of, text_of_html
from connectors.crm.notes import activity_of, text_of
from connectors.crm.tools import Activity, ActivityKind, LogActivity

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
MARK, OTHER = "0" * 32, "1" * 32
LINES = st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), min_size=1, max_size=200)
BODIES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=300)
HOSTILE = st.sampled_from(["", "\n", "\n\n", "<br>", "&lt;b&gt;", f"[x via Remit, {MARK}, con_0001]", "Call: x\n\ny"])
LOGS = st.builds(
    LogActivity,
    kind=st.sampled_from(get_args(ActivityKind)),
    subject=LINES,
    body=st.builds("".join, st.lists(BODIES | HOSTILE, max_size=4)),
    contact_id=st.just("con_0001"),
    account_id=st.none() | st.just("acc_0002"),
)


def logged(args: LogActivity, actor: str) -> Activity:
    return Activity(id="act_0003", actor=" ".join(actor.split()), at=NOW, **args.model_dump())


@given(LOGS, LINES)
def test_a_note_gives_back_what_was_logged(args: LogActivity, actor: str) -> None:
    text = text_of(args, actor, MARK)
    assert activity_of("act_0003", text, NOW, MARK) == logged(args, actor)
    assert text_of_html(html_of(text)) == text


@given(LOGS, LINES)
def test_a_text_does_not_pass_for_what_another_key_left(args: LogActivity, actor: str) -> None:
    assert activity_of("act_0003", text_of(args, actor, OTHER), NOW, MARK) is None


@given(BODIES | HOSTILE)
def test_a_note_that_somebody_else_made_is_no_activity(text: str) -> None:
    assert activity_of("act_0003", text, NOW, OTHER) is None
