"""An issuer's keys: fetched once, again when a token names a new one, never often, and never from elsewhere."""

import anyio
import pytest
from joserfc.jwk import ECKey, OctKey

from gateway.oauth.keys import FRESH_SECONDS, MOST_AT_ONCE, RETRY_SECONDS, STALE_SECONDS, Keys, public_keys
from gateway.oauth.refusals import BadToken, IssuerUnavailable
from tests.oauth.forging import signed
from tests.oauth.issuing import IDENTITY, KEYS, URL, Issuer, Time, claims, published, staff, token, verifier

NEW = ECKey.generate_key("P-256", {"kid": "new"})


def by_new_key() -> str:
    return signed(claims(), NEW, alg="ES256", kid="new")


async def test_keys_are_fetched_once_for_many_tokens() -> None:
    issuer = Issuer()
    verifying = verifier(issuer, Time())
    for number in range(20):
        await verifying.verify(token(jti=f"j{number}"))
    assert issuer.asked.count(f"{URL}/keys") == 1


async def test_any_number_of_tokens_with_unknown_keys_ask_the_issuer_once_in_a_while() -> None:
    issuer, time = Issuer(), Time()
    verifying = verifier(issuer, time)
    await verifying.verify(token())
    time.forward(RETRY_SECONDS)
    for number in range(50):
        with pytest.raises(BadToken, match="no such key"):
            await verifying.verify(token(header={"kid": f"k{number}"}))
    assert issuer.asked.count(f"{URL}/keys") == 2
    await verifying.verify(token())


async def test_a_new_key_is_found_as_soon_as_a_token_names_it() -> None:
    issuer, time = Issuer(), Time()
    verifying = verifier(issuer, time)
    await verifying.verify(token())
    issuer.keys = published(NEW)
    time.forward(RETRY_SECONDS)
    await verifying.verify(by_new_key())
    with pytest.raises(BadToken, match="no such key"):
        await verifying.verify(token(jti="another"))


async def test_keys_count_for_a_while_when_the_issuer_cannot_be_reached_and_then_no_more() -> None:
    issuer, time = Issuer(), Time()
    verifying = verifier(issuer, time)
    await verifying.verify(token())
    issuer.reachable = False
    time.forward(FRESH_SECONDS)
    late, before = int(time().timestamp()) + 10_000, len(issuer.asked)
    for number in range(5):
        await verifying.verify(token(exp=late, jti=f"j{number}"))
    assert len(issuer.asked) == before + 1, "it is left alone for a while"
    time.forward(STALE_SECONDS - FRESH_SECONDS)
    with pytest.raises(IssuerUnavailable):
        await verifying.verify(token(exp=late, jti="last"))


async def test_an_issuer_that_never_answered_is_left_alone_for_a_while() -> None:
    issuer, time = Issuer(reachable=False), Time()
    verifying = verifier(issuer, time)
    for _ in range(5):
        with pytest.raises(IssuerUnavailable):
            await verifying.verify(token())
    assert len(issuer.asked) == 1
    issuer.reachable = True
    time.forward(RETRY_SECONDS)
    await verifying.verify(token())


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://evil.example", "jwks_uri": f"{URL}/keys"},
        {"issuer": f"{URL}/", "jwks_uri": f"{URL}/keys"},
        {"jwks_uri": f"{URL}/keys"},
        {"issuer": URL},
        {"issuer": URL, "jwks_uri": "https://elsewhere.example/keys"},
        {"issuer": URL, "jwks_uri": "http://169.254.169.254/latest/meta-data"},
        {"issuer": URL, "jwks_uri": "http://id.larkspur.example/keys"},
        {"issuer": URL, "jwks_uri": f"{URL}:8443/keys"},
        {"issuer": URL, "jwks_uri": "https://id.larkspur.example@evil.example/keys"},
        {"issuer": URL, "jwks_uri": "file:///etc/passwd"},
        {"issuer": URL, "jwks_uri": ["https://id.larkspur.example/keys"]},
    ],
)
async def test_metadata_that_are_another_issuers_or_lead_elsewhere_are_not_followed(
    metadata: dict[str, object],
) -> None:
    issuer = Issuer(metadata=metadata)
    with pytest.raises(IssuerUnavailable):
        await verifier(issuer, Time()).verify(token())
    assert all(url.startswith(f"{URL}/.well-known/") for url in issuer.asked)


async def test_a_host_that_the_file_names_may_have_the_keys() -> None:
    issuer = Issuer(metadata={"issuer": URL, "jwks_uri": "https://keys.example/keys"})
    identity = IDENTITY.replace("algorithms =", 'hosts = ["keys.example"]\nalgorithms =')
    with pytest.raises(IssuerUnavailable):
        await verifier(issuer, Time(), identity).verify(token())
    assert issuer.asked[-1] == "https://keys.example/keys"


@pytest.mark.filterwarnings("ignore:Key size should be")
def test_only_public_keys_that_can_check_a_signature_are_kept() -> None:
    good = KEYS["ES256"].as_dict(private=False)
    small = {"kty": "RSA", "e": "AQAB", "n": "_" * 171}
    unfit: list[object] = [
        OctKey.import_key("a-shared-secret-of-some-length").as_dict(),
        small,
        {**good, "use": "enc"},
        {**good, "key_ops": ["sign"]},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "unheard-of"},
        "no key",
        None,
    ]
    assert [key.kid for key in public_keys({"keys": [*unfit, good]})] == ["ec"]
    for broken in ({}, {"keys": "text"}, {"keys": None}):
        with pytest.raises(IssuerUnavailable):
            public_keys(broken)


async def test_while_one_caller_waits_for_new_keys_the_others_go_on_with_the_known_ones() -> None:
    issuer, time, answer = Issuer(), Time(), anyio.Event()
    verifying = verifier(issuer, time)
    await verifying.verify(token())
    issuer.waits_for = answer
    time.forward(FRESH_SECONDS)
    late = int(time().timestamp()) + 300
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(verifying.verify, token(exp=late, jti="waits"))
        await anyio.wait_all_tasks_blocked()
        await verifying.verify(token(exp=late, jti="goes-on"))
        answer.set()
    assert issuer.asked.count(f"{URL}/keys") == 2


@pytest.mark.parametrize("what", ["keys", "metadata"])
async def test_who_goes_away_while_the_issuer_is_asked_does_not_leave_the_others_without_an_answer(what: str) -> None:
    issuer = Issuer(waits_for=anyio.Event())
    keys, heard = Keys(staff(), lambda: 0.0, issuer.get), list[str]()

    async def ask() -> None:
        if what == "keys":
            await keys.find("ec", "ES256")
        else:
            await keys.metadata()
        heard.append(what)

    async with anyio.create_task_group() as staying, anyio.create_task_group() as gone:
        gone.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        staying.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        gone.cancel_scope.cancel()
        assert issuer.waits_for
        issuer.waits_for.set()
    assert heard[-1:] == [what]


async def test_made_up_tokens_do_not_have_the_issuer_asked_without_end() -> None:
    keys, done = Keys(staff(), lambda: 0.0, Issuer().get), anyio.Event()
    turned_away = 0

    async def ask() -> None:
        nonlocal turned_away
        try:
            async with keys.turn():
                await done.wait()
        except IssuerUnavailable:
            turned_away += 1

    async with anyio.create_task_group() as tasks:
        for _ in range(3 * MOST_AT_ONCE):
            tasks.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        assert turned_away == MOST_AT_ONCE
        done.set()
