"""What an issuer answers of somebody who signs in to the console is taken only if it answers this very sign-in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from gateway.oauth.fetching import Declined
from gateway.oauth.mapping import meaning_of
from gateway.oauth.refusals import BadToken, IssuerUnavailable, NobodyHere
from gateway.oauth.signing_in import Begun, SigningIn, UnknownIssuer
from gateway.policy.files.identity import Issuer as Trusted
from gateway.principal import Principal
from tests.oauth.forging import claims_of, hs256, signed, unsigned
from tests.oauth.issuing import IDENTITY, KEYS, RESOURCE, START, URL, Issuer, Time, policy_of, token, verifier

BACK = "https://remit.larkspur.example/console/sign-in/back"
CONSOLE = '\n[issuers.staff.console]\nclient_id = "console"\nsecret = { env = "TEST_SECRET" }\n'
GOOD: dict[str, Any] = {"aud": "console", "client_id": None, "jti": None}
JWT = {"typ": "JWT"}
NOW = int(START.timestamp())


@dataclass
class Asked(Issuer):
    """An issuer that also takes people and codes; `token` is what it gives for one, `{nonce}` left to be filled in."""

    given: Mapping[str, Any] = field(default_factory=dict)
    header: Mapping[str, Any] = field(default_factory=lambda: JWT)
    sent: list[tuple[str, dict[str, str], tuple[str, str] | None]] = field(default_factory=list)
    answers: Mapping[str, Any] | None = None
    nonce: str = ""

    def __post_init__(self) -> None:
        self.metadata |= {"authorization_endpoint": f"{URL}/authorize", "token_endpoint": f"{URL}/token"}

    async def post(self, url: str, form: Mapping[str, str], client: tuple[str, str] | None) -> Mapping[str, Any]:
        self.sent.append((url, dict(form), client))
        if form["code"] != "good":
            raise Declined("400")
        if self.answers is not None:
            return self.answers
        claims = {**GOOD, "nonce": self.nonce, **self.given}
        return {"id_token": token(header=dict(self.header), **claims), "access_token": "unused"}


def signing(issuer: Asked, more: str = CONSOLE, identity: str = IDENTITY) -> SigningIn:
    policy = policy_of(identity + more)
    return SigningIn(lambda: policy.identity, Time(), BACK, issuer.get, issuer.post)


def begun(signing_in: SigningIn, issuer: Asked) -> Begun:
    found = signing_in.begin("staff", "/console/")
    issuer.nonce = found.nonce
    return found


async def ended(issuer: Asked, more: str = CONSOLE, identity: str = IDENTITY, **answer: str) -> Principal:
    signing_in = signing(issuer, more, identity)
    person, _ = await signing_in.person(begun(signing_in, issuer), {"code": "good", **answer})
    return person


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_SECRET", "s3cret")


FINE: list[dict[str, Any]] = [
    {},
    {"aud": ["console"]},
    {"azp": "console"},
    {"exp": NOW - 29},
    {"iat": NOW - 600},
    {"iat": NOW + 29, "nbf": NOW + 29},
]
BAD: list[tuple[dict[str, Any], str]] = [
    ({"nonce": "another"}, "another sign-in"),
    ({"nonce": None}, "another sign-in"),
    ({"nonce": 7}, "nonce"),
    ({"aud": "desktop"}, "somebody else"),
    ({"aud": RESOURCE}, "somebody else"),
    ({"aud": ["console", "desktop"]}, "somebody else"),
    ({"aud": []}, "somebody else"),
    ({"aud": None}, "somebody else"),
    ({"azp": "desktop"}, "somebody else"),
    ({"iss": "https://evil.example"}, "another issuer"),
    ({"iss": f"{URL}/"}, "another issuer"),
    ({"sub": None}, "names nobody"),
    ({"exp": NOW - 31}, "expired"),
    ({"exp": None}, "until when"),
    ({"exp": "soon"}, "no time"),
    ({"iat": None}, "until when"),
    ({"iat": NOW - 631}, "expired"),
    ({"iat": NOW + 31}, "not good yet"),
    ({"nbf": NOW + 31}, "not good yet"),
]


@pytest.mark.parametrize("given", FINE)
async def test_a_good_id_token_signs_its_person_in(given: dict[str, Any]) -> None:
    assert await ended(Asked(given=given)) == Principal("larkspur", person="ana")


@pytest.mark.parametrize(("given", "told"), BAD)
async def test_an_id_token_that_answers_anything_else_is_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(BadToken, match=told):
        await ended(Asked(given=given))


@pytest.mark.parametrize("typ", ["at+jwt", "application/at+jwt", "dpop+jwt", "logout+jwt"])
async def test_a_token_of_another_kind_is_no_id_token(typ: str) -> None:
    with pytest.raises(BadToken, match="no ID token"):
        await ended(Asked(header={"typ": typ}))


@pytest.mark.parametrize(
    "how", ["another key", "public key as a secret", "unsigned", "crit", "no JWT", "missing", "huge"]
)
async def test_an_id_token_that_the_issuer_did_not_sign_is_refused(how: str) -> None:
    issuer = Asked()
    signing_in = signing(issuer)
    this = begun(signing_in, issuer)
    good = token(header=JWT, **{**GOOD, "nonce": this.nonce})
    claims, rsa = claims_of(good), KEYS["RS256"]
    forged: dict[str, Any] = {
        "another key": signed(claims, KEYS["Ed25519"], alg="Ed25519", kid="ec", typ="JWT"),
        "public key as a secret": hs256(claims, str(rsa.as_dict(private=False)).encode(), "rsa"),
        "unsigned": unsigned(claims),
        "crit": token(header={**JWT, "crit": ["b64"]}, **{**GOOD, "nonce": this.nonce}),
        "no JWT": "opaque",
        "missing": None,
        "huge": good + "A" * 20_000,
    }
    issuer.answers = {"id_token": forged[how]}
    with pytest.raises(BadToken):
        await signing_in.person(this, {"code": "good"})
    issuer.answers = {"id_token": good}
    assert (await signing_in.person(this, {"code": "good"}))[0].person == "ana"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"sub": "console"}, "no person's"),
        ({"idtyp": "app"}, "no person's"),
        ({"act": {"sub": "triage-bot"}}, "no person's"),
        ({"sub": "ana b"}, "cannot be used"),
    ],
)
async def test_only_a_person_is_signed_in_and_never_an_agent(given: dict[str, Any], told: str) -> None:
    with pytest.raises(NobodyHere, match=told):
        await ended(Asked(given=given))


async def test_a_sign_in_is_asked_for_with_state_nonce_and_a_proof_that_stays_here() -> None:
    issuer = Asked()
    signing_in = signing(issuer, CONSOLE + 'scopes = ["email", "groups"]\n')
    this = begun(signing_in, issuer)
    asked = {name: values[0] for name, values in parse_qs(urlsplit(await signing_in.address(this)).query).items()}
    assert len({this.state, this.nonce, this.verifier}) == 3
    assert this.verifier not in asked.values()
    assert asked.pop("code_challenge")
    assert asked == {
        "response_type": "code",
        "client_id": "console",
        "redirect_uri": f"{BACK}/staff",
        "scope": "openid email groups",
        "state": this.state,
        "nonce": this.nonce,
        "code_challenge_method": "S256",
    }


async def test_the_code_is_redeemed_with_the_proof_and_the_secret_in_the_way_that_the_issuer_takes() -> None:
    issuer = Asked()
    await ended(issuer)
    issuer.metadata["token_endpoint_auth_methods_supported"] = ["client_secret_post"]
    await ended(issuer)
    await ended(issuer, '\n[issuers.staff.console]\nclient_id = "console"\n')
    shown = [(client, form.get("client_id"), form.get("client_secret")) for _, form, client in issuer.sent]
    assert shown == [(("console", "s3cret"), None, None), (None, "console", "s3cret"), (None, "console", None)]
    for url, form, _ in issuer.sent:
        assert (url, form["redirect_uri"], len(form["code_verifier"])) == (f"{URL}/token", f"{BACK}/staff", 64)


@pytest.mark.parametrize("says_so", [False, True])
async def test_an_answer_of_another_issuer_is_refused_before_its_code_is_sent_anywhere(says_so: bool) -> None:
    issuer = Asked()
    issuer.metadata["authorization_response_iss_parameter_supported"] = says_so
    for sender in ("https://evil.example", f"{URL}/", ""):
        with pytest.raises(BadToken, match="another issuer's"):
            await ended(issuer, iss=sender)
    if says_so:
        with pytest.raises(BadToken, match="does not say whose"):
            await ended(issuer)
    assert issuer.sent == []
    assert (await ended(issuer, iss=URL)).person == "ana"


@pytest.mark.parametrize("answer", [{"code": "used"}, {"code": ""}, {"code": "x" * 5_000}, {"error": "access_denied"}])
async def test_an_answer_without_a_code_that_the_issuer_takes_signs_nobody_in(answer: dict[str, str]) -> None:
    with pytest.raises(BadToken):
        await ended(Asked(), **answer)


@pytest.mark.parametrize("endpoint", ["authorization_endpoint", "token_endpoint"])
@pytest.mark.parametrize("url", ["https://evil.example/x", "http://id.larkspur.example/x", "javascript:alert(1)", None])
async def test_nobody_is_sent_and_nothing_is_asked_where_the_file_does_not_lead(endpoint: str, url: str | None) -> None:
    issuer = Asked()
    issuer.metadata[endpoint] = url
    signing_in = signing(issuer)
    this = begun(signing_in, issuer)

    async def go() -> None:
        await signing_in.address(this)
        await signing_in.person(this, {"code": "good"})

    with pytest.raises(IssuerUnavailable):
        await go()
    assert issuer.sent == []


async def test_nobody_signs_in_with_an_issuer_that_has_no_client_for_it() -> None:
    issuer = Asked()
    signing_in = signing(issuer, more="")
    this = begun(signing_in, issuer)
    assert signing_in.offers() == {}
    with pytest.raises(UnknownIssuer):
        await signing_in.address(this)
    with pytest.raises(UnknownIssuer):
        await signing_in.person(this, {"code": "good"})
    assert signing(issuer).offers() == {"staff": "staff"}
    assert signing(issuer, CONSOLE + 'name = "Larkspur"\n').offers() == {"staff": "Larkspur"}


ANY_TYPE = IDENTITY.replace("algorithms", "any_type = true\nalgorithms").replace('desktop = "person"', '"*" = "person"')


async def test_an_id_token_of_the_console_makes_no_calls_even_where_any_client_and_type_may() -> None:
    check = verifier(Issuer(), Time(), ANY_TYPE + CONSOLE)
    with pytest.raises(BadToken, match="somebody else"):
        await check.verify(token(header=JWT, **GOOD, nonce="n", azp="console"))
    with pytest.raises(NobodyHere, match="not listed"):
        await check.verify(token(header=JWT, **{**GOOD, "aud": ["console", RESOURCE], "azp": "console"}))
    assert (await check.verify(token(header=JWT))).principal.person == "ana"


def issuer_of(identity: str) -> Trusted:
    found = policy_of(identity).identity
    assert found
    return found.issuers["staff"]


def test_a_sign_in_means_another_one_once_whom_it_names_may_be_another() -> None:
    same = IDENTITY + CONSOLE
    assert meaning_of(issuer_of(same)) == meaning_of(issuer_of(same.replace("desktop", "another")))
    pairs = (
        ('claim = "sub"', 'claim = "oid"'),
        ('tenant = "larkspur"', 'tenant = "acme"'),
        ('"console"', '"another"'),
        (URL, "https://sso.larkspur.example"),
        (CONSOLE, CONSOLE + '[issuers.staff.roles]\nclaim = "groups"\ngive = { leads = "role:lead" }\n'),
    )
    changed = [same.replace(before, after) for before, after in pairs]
    assert len({meaning_of(issuer_of(each)) for each in (same, *changed)}) == len(pairs) + 1
