"""The chain, the tree over it and the notes that sign it have the published forms."""

from base64 import b64decode
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.journal.chain import GENESIS, Tree, chained, entry_bytes
from gateway.journal.checkpoint import open_checkpoint, sign
from gateway.journal.entry import Row
from gateway.journal.note import BadKey, BadNote, PublicKey, Signer, parse_public_key

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
ROWS = st.builds(Row, TEXTS, TEXTS, TEXTS, TEXTS, TEXTS, st.none() | TEXTS, TEXTS)


@given(st.tuples(st.integers(1, 9), ROWS), st.tuples(st.integers(1, 9), ROWS))
def test_no_two_entries_have_the_same_bytes(one: tuple[int, Row], other: tuple[int, Row]) -> None:
    same = entry_bytes(one[0], GENESIS, one[1]) == entry_bytes(other[0], GENESIS, other[1])
    assert same == (one == other)


def test_text_that_moves_from_one_column_to_the_next_changes_the_hash() -> None:
    one = Row("ab", "c", "", "", "", None, "")
    assert entry_bytes(1, GENESIS, one) != entry_bytes(1, GENESIS, one._replace(call_id="a", tenant="bc"))
    assert entry_bytes(1, GENESIS, one) != entry_bytes(1, GENESIS, one._replace(once=""))


@given(st.lists(ROWS, max_size=9), st.integers(0, 9))
def test_a_chain_written_in_two_parts_is_the_chain_written_at_once(rows: list[Row], cut: int) -> None:
    whole = list(chained(rows, 0, GENESIS))
    first = list(chained(rows[:cut], 0, GENESIS))
    rest = chained(rows[cut:], len(first), first[-1].hash if first else GENESIS)
    assert [*first, *rest] == whole
    assert [stored.previous for stored in whole] == [GENESIS, *(stored.hash for stored in whole)][: len(whole)]


def mth(leaves: list[bytes]) -> bytes:
    """The Merkle tree hash, word for word as RFC 9162, section 2.1.1, defines it."""
    if not leaves:
        return sha256().digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


@given(st.lists(st.binary(min_size=32, max_size=32), max_size=70), st.integers(0, 70))
def test_the_tree_that_grows_has_the_hash_that_the_rfc_defines_wherever_it_is_put_down(
    leaves: list[bytes], rest: int
) -> None:
    tree = Tree()
    for leaf in leaves[:rest]:
        tree.append(leaf)
    tree = Tree(tree.size, tree.subtrees)
    for leaf in leaves[rest:]:
        tree.append(leaf)
    assert (tree.size, tree.root) == (len(leaves), mth(leaves))


def test_the_tree_agrees_with_the_test_vector_of_certificate_transparency() -> None:
    inputs = "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"
    tree = Tree()
    for text in inputs:
        tree.append(sha256(b"\x00" + bytes.fromhex(text)).digest())
    assert tree.root.hex() == "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"


# The example of the Go implementation's documentation (golang.org/x/mod/sumdb/note).
PUBLIC = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PRIVATE = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
NOTE = f"""{TEXT}
— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=
"""
SIGNER = Signer("PeterNeumann", b64decode(PRIVATE)[1:])


def test_keys_and_notes_are_those_of_the_go_implementation() -> None:
    key = parse_public_key(PUBLIC)
    assert (str(key), str(SIGNER.public)) == (PUBLIC, PUBLIC)
    assert key.open(NOTE) == TEXT
    assert SIGNER.sign(TEXT) == NOTE


def test_signatures_of_others_on_a_note_are_passed_over() -> None:
    other = Signer("witness.example/w1", bytes(32))
    cosigned = NOTE + other.sign(TEXT).rpartition("\n\n")[2]
    assert parse_public_key(PUBLIC).open(cosigned) == other.public.open(cosigned) == TEXT


@given(st.integers(0, len(NOTE) - 1), st.characters(exclude_categories=["Cs"]))
def test_a_note_changed_in_one_character_is_refused(place: int, character: str) -> None:
    changed = NOTE[:place] + character + NOTE[place + 1 :]
    if changed != NOTE:
        with pytest.raises(BadNote):
            parse_public_key(PUBLIC).open(changed)


@pytest.mark.parametrize("text", ["", "name", PUBLIC[:-1], PUBLIC.replace("c74f20a3", "c74f20a4"), "a b" + PUBLIC])
def test_what_is_no_public_key_is_refused_with_the_command_that_prints_one(text: str) -> None:
    with pytest.raises(BadKey, match="remit journal key"):
        parse_public_key(text)


def test_a_checkpoint_is_a_note_of_origin_size_and_root() -> None:
    tree = Tree()
    tree.append(bytes(32))
    checkpoint = sign(tree, SIGNER)
    origin, size, root, blank, signature, end = checkpoint.note.split("\n")
    assert (origin, size, b64decode(root), blank, end) == ("PeterNeumann", "1", tree.root, "", "")
    assert signature.startswith("— PeterNeumann ")
    assert open_checkpoint(checkpoint.note, SIGNER.public) == checkpoint


@pytest.mark.parametrize(
    "text",
    [TEXT, "other.example\n1\n" + "A" * 43 + "=\n", "PeterNeumann\n01\n" + "A" * 43 + "=\n", "PeterNeumann\n1\nroot\n"],
)
def test_a_note_of_the_key_that_is_no_checkpoint_of_its_journal_is_refused(text: str) -> None:
    with pytest.raises(BadNote, match="no checkpoint"):
        open_checkpoint(SIGNER.sign(text), PublicKey("PeterNeumann", SIGNER.public.key))
