"""A grant's token: only what this home signed with its one algorithm is read."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import OctKey, OKPKey
from pydantic import ValidationError

from gateway.grants.grant import BadGrant, Grant
from gateway.grants.token import MAX_TOKEN, hash_of, read, sign
from gateway.principal import Principal
from tests.grants.granting import ANA, terms

KEY, OTHER_KEY = b"a" * 32, b"b" * 32
NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
GRANT = Grant("gra_1", "run_1", ANA, terms(request="Hello"), NOW, NOW + timedelta(hours=1))
TOKEN = sign(GRANT, KEY)


def part(data: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(data).encode()).rstrip(b"=").decode()


def claims(**changed: Any) -> dict[str, Any]:
    payload = TOKEN.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return {**found, **changed}


def signed(header: dict[str, Any], told: dict[str, Any], key: bytes = KEY) -> str:
    return jwt.encode(header, told, OctKey.import_key(key), algorithms=[header["alg"]])


HEADER = {"alg": "HS256", "typ": "remit-grant+jwt"}
BAD = {
    "nothing": "",
    "no token": "gra_1",
    "another home's": sign(GRANT, OTHER_KEY),
    "an opened signature": ".".join([*TOKEN.split(".")[:2], ""]),
    "no algorithm": f"{part({'alg': 'none', 'typ': 'remit-grant+jwt'})}.{part(claims())}.",
    "no algorithm in capitals": f"{part({'alg': 'None', 'typ': 'remit-grant+jwt'})}.{part(claims())}.",
    "no algorithm, signed": ".".join([part({"alg": "none"}), *TOKEN.split(".")[1:]]),
    "another algorithm": signed({**HEADER, "alg": "HS512"}, claims()),
    "a weaker algorithm": signed({**HEADER, "alg": "HS384"}, claims()),
    "another type": signed({"alg": "HS256", "typ": "JWT"}, claims()),
    "no type": signed({"alg": "HS256"}, claims()),
    "another audience": signed(HEADER, claims(aud="remit/state")),
    "another issuer": signed(HEADER, claims(iss="somebody")),
    "more claims": signed(HEADER, claims(admin=True)),
    "no expiry": signed(HEADER, {name: value for name, value in claims().items() if name != "exp"}),
    "an expiry in words": signed(HEADER, claims(exp="never")),
    "an expiry without end": signed(HEADER, claims(exp=2**62)),
    "encrypted": "a.b.c.d.e",
    "half of a surrogate pair": "\ud800",
    "too long": TOKEN + "x" * MAX_TOKEN,
}


@pytest.mark.parametrize("token", BAD.values(), ids=BAD.keys())
def test_what_this_home_did_not_sign_so_is_no_grant(token: str) -> None:
    with pytest.raises(BadGrant, match="not issued here"):
        read(token, KEY)


def test_a_public_key_is_never_taken_for_the_secret() -> None:
    public = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    forged = signed(HEADER, claims(), public)
    with pytest.raises(BadGrant):
        read(forged, KEY)
    by_private = jwt.encode({**HEADER, "alg": "Ed25519"}, claims(), OKPKey.generate_key(), algorithms=["Ed25519"])
    with pytest.raises(BadGrant):
        read(by_private, KEY)


def test_a_token_says_again_what_it_was_made_of() -> None:
    found = read(TOKEN, KEY)
    assert found.with_terms(GRANT.terms) == GRANT


@given(st.integers(0, len(TOKEN) - 1), st.characters(codec="ascii"))
def test_no_changed_character_leaves_another_grant(place: int, character: str) -> None:
    changed = TOKEN[:place] + character + TOKEN[place + 1 :]
    try:
        found = read(changed, KEY)
    except BadGrant:
        return
    assert found.with_terms(GRANT.terms) == GRANT, "at most another spelling of the same"


VALUES = st.text(max_size=10) | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.booleans()


@given(st.lists(VALUES, max_size=5))
def test_terms_have_one_hash_however_often_they_are_kept_and_read(values: list[Any]) -> None:
    try:
        made = terms(values=values, request=str(values))
    except ValidationError:
        return
    again = type(made).model_validate_json(made.model_dump_json())
    assert (again, hash_of(again)) == (made, hash_of(made))


def test_the_words_of_the_task_do_not_travel_and_the_longest_names_do() -> None:
    longest = Principal("t" * 200, person="\U0001f600" * 200, agent="\U0001f600" * 200)
    token = sign(Grant("gra_1", "run_1", longest, terms(request="secret words"), NOW, NOW + timedelta(hours=1)), KEY)
    assert read(token, KEY).principal == longest
    assert part("secret words").strip("=")[4:-4] not in token
