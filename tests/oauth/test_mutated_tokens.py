"""No change of a good token is accepted, whatever it is; `REMIT_TOKENS` sets how many are tried."""

import os
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey

from gateway.oauth.own import Claims, OwnTokens, acting_for
from gateway.oauth.refusals import BadToken
from tests.oauth.forging import claims_of, decoded, encoded, hs256, signed
from tests.oauth.issuing import IDENTITY, KEYS, RESOURCE, START, Issuer, Time, token, verifier

TRIED = int(os.environ.get("REMIT_TOKENS", "300"))
OWN = OwnTokens(bytes(range(32)))
EXCHANGING = IDENTITY + '\n[exchange]\nagents = { triage = ["person"] }\n'
ISSUED = int(START.timestamp())
EXCHANGED = OWN.sign(
    Claims(
        iss=RESOURCE,
        aud=RESOURCE,
        sub="ana",
        client_id="triage",
        tenant="larkspur",
        act=acting_for(("triage",)),
        jti="j2",
        iat=ISSUED,
        exp=ISSUED + 300,
    )
)
GOOD = (*(token(algorithm) for algorithm in KEYS), EXCHANGED)
MINE = ECKey.generate_key("P-256", {"kid": "ec"})
ALPHABET = "ABCXYZabcxyz0189-_.=+/ \n~é"

good = st.sampled_from(GOOD)
scalar = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just(RESOURCE)
value = scalar | st.lists(scalar, max_size=3) | st.dictionaries(st.text(max_size=4), scalar, max_size=2)
names = st.sampled_from(["iss", "aud", "sub", "client_id", "jti", "iat", "exp", "nbf", "act", "tenant", "roles"])
headers = st.sampled_from(["alg", "kid", "typ", "crit", "jwk", "jku", "x5c", "b64", "zip", "cty"])
algorithms = st.sampled_from(["none", "None", "HS256", "RS256", "ES256", "ES384", "PS256", "Ed25519", "EdDSA", ""])


@st.composite
def edited(draw: st.DrawFn) -> str:
    """Characters replaced, removed, doubled or put in."""
    text = draw(good)
    for _ in range(draw(st.integers(1, 3))):
        at, end = sorted((draw(st.integers(0, len(text))), draw(st.integers(0, len(text)))))
        end = draw(st.sampled_from([at, at + 1, end]))
        text = text[:at] + draw(st.text(ALPHABET, max_size=3) | st.just(text[at:end] * 2)) + text[end:]
    return text


@st.composite
def reassembled(draw: st.DrawFn) -> str:
    """Parts of two tokens, in any order."""
    parts = [*draw(good).split("."), *draw(good).split("."), ""]
    return ".".join(draw(st.lists(st.sampled_from(parts), min_size=1, max_size=5)))


@st.composite
def said_otherwise(draw: st.DrawFn) -> str:
    """Another header or other claims over the same signature, or none."""
    header, payload, signature = draw(good).split(".")
    told, claimed = decoded(header), decoded(payload)
    told |= draw(st.dictionaries(headers, value | algorithms, max_size=2))
    claimed |= draw(st.dictionaries(names, value, max_size=2))
    return f"{encoded(told)}.{encoded(claimed)}.{draw(st.sampled_from([signature, '', signature[:-4]]))}"


@st.composite
def signed_by_somebody_else(draw: st.DrawFn) -> str:
    """The same claims or others, signed by a key of the attacker's, or by what is public as a secret."""
    claimed = claims_of(draw(good)) | draw(st.dictionaries(names, value, max_size=1))
    kid = draw(st.sampled_from(["ec", "rsa", "ed", "", "none"]))
    if draw(st.booleans()):
        public = draw(st.sampled_from(list(KEYS.values())))
        secret = draw(st.sampled_from([public.as_pem(private=False), public.as_der(private=False), b"", b"secret"]))
        return hs256(claimed, secret, kid)
    header: dict[str, Any] = {"alg": "ES256", "kid": kid}
    header |= {"jwk": MINE.as_dict(private=False)} if draw(st.booleans()) else {}
    return signed(claimed, MINE, **header)


@settings(max_examples=TRIED, deadline=None)
@given(changed=st.one_of(edited(), reassembled(), said_otherwise(), signed_by_somebody_else()))
async def test_no_change_of_a_good_token_is_accepted(changed: str) -> None:
    if changed in GOOD:
        return
    verifying = verifier(Issuer(), Time(), EXCHANGING, OWN)
    with pytest.raises(BadToken):
        await verifying.verify(changed)


async def test_the_good_tokens_are_accepted() -> None:
    verifying = verifier(Issuer(), Time(), EXCHANGING, OWN)
    found = [(await verifying.verify(each)).principal.name for each in GOOD]
    assert found == [*["person:ana"] * 3, "person:ana agent:triage"]
