"""What is sealed opens for its place alone, under its key alone, and only as it was written."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.credentials.keys import KeySource, NoKey, new_key
from gateway.credentials.keys import given as given_keys
from gateway.credentials.kinds import Content, Place, Token, read, written
from gateway.credentials.sealing import Key, Keys, NotOpened
from tests.credentials.conftest import KEY, OTHER_KEY, TOKEN

KEYS = Keys((Key.of(KEY),))
PLACE = Place("larkspur", "mail", "ana")
names = st.text(min_size=0, max_size=12)
places = st.builds(Place, names, names, names)


@given(data=st.binary(max_size=200), place=places)
def test_what_is_sealed_opens_for_its_place(data: bytes, place: Place) -> None:
    assert KEYS.open(KEYS.seal(data, place), place) == data


@settings(max_examples=300)
@given(data=st.binary(max_size=60), changing=st.data())
def test_no_changed_row_opens(data: bytes, changing: st.DataObject) -> None:
    sealed = bytearray(KEYS.seal(data, PLACE))
    how = changing.draw(st.sampled_from(["flip", "cut", "add"]))
    if how == "flip":
        at = changing.draw(st.integers(0, len(sealed) - 1))
        sealed[at] ^= changing.draw(st.integers(1, 255))
    elif how == "cut":
        del sealed[changing.draw(st.integers(0, len(sealed) - 1)) :]
    else:
        sealed += changing.draw(st.binary(min_size=1, max_size=9))
    with pytest.raises(NotOpened):
        KEYS.open(bytes(sealed), PLACE)


@given(sealed_for=places, moved_to=places)
def test_a_row_that_was_moved_does_not_open(sealed_for: Place, moved_to: Place) -> None:
    sealed = KEYS.seal(b"secret", sealed_for)
    if sealed_for == moved_to:
        assert KEYS.open(sealed, moved_to) == b"secret"
        return
    with pytest.raises(NotOpened, match="belongs elsewhere"):
        KEYS.open(sealed, moved_to)


def test_parts_of_a_place_cannot_be_shifted_into_each_other() -> None:
    sealed = KEYS.seal(b"secret", Place("a", "b", "c"))
    for other in (Place("a", "bc", ""), Place("ab", "c", ""), Place("a", "b", "c "), Place("b", "a", "c")):
        with pytest.raises(NotOpened):
            KEYS.open(sealed, other)


def test_another_key_does_not_open_it_and_an_older_one_does_as_long_as_it_is_there() -> None:
    sealed = KEYS.seal(b"secret", PLACE)
    with pytest.raises(NotOpened, match="not among those at hand"):
        Keys((Key.of(OTHER_KEY),)).open(sealed, PLACE)
    both = Keys((Key.of(OTHER_KEY), Key.of(KEY)))
    assert both.open(sealed, PLACE) == b"secret"
    assert not both.is_newest(sealed)
    assert both.is_newest(both.seal(b"secret", PLACE))


def test_a_key_that_only_has_the_name_of_another_opens_nothing() -> None:
    forged = Keys((replace(Key.of(OTHER_KEY), id=Key.of(KEY).id),))
    with pytest.raises(NotOpened, match="altered"):
        forged.open(KEYS.seal(b"secret", PLACE), PLACE)


def test_equal_secrets_do_not_look_equal() -> None:
    assert KEYS.seal(b"secret", PLACE) != KEYS.seal(b"secret", PLACE)


def test_neither_keys_nor_contents_show_what_is_secret() -> None:
    content = Content.model_validate({"given": {"kind": "token", "token": TOKEN}, "access": "acc-33221100"})
    shown = f"{KEYS!r} {Key.of(KEY)!s} {content!r} {content.model_dump()} {content.model_dump_json()}"
    assert not [secret for secret in (KEY, TOKEN, "acc-33221100", Key.of(KEY).value.hex()) if secret in shown]
    assert read(written(content)) == content
    assert isinstance(content.given, Token)


@pytest.mark.parametrize(
    ("text", "told"), [("", "there is no key"), (" \n", "there is no key"), ("short", "fewer than 32 characters")]
)
def test_without_a_good_key_nothing_is_sealed_or_opened(text: str, told: str) -> None:
    with pytest.raises(NoKey, match=told) as refused:
        given_keys(text).keys()
    assert "short" not in str(refused.value)


def test_a_file_that_cannot_be_read_gives_no_key() -> None:
    def read_nothing() -> str:
        raise PermissionError(13, "no")

    with pytest.raises(NoKey, match="cannot be read from `x`: PermissionError"):
        KeySource(read_nothing, "`x`").keys()


def test_new_keys_are_long_enough_and_differ() -> None:
    assert given_keys(f"{new_key()} {new_key()}").keys().all[0] != given_keys(new_key()).keys().all[0]
