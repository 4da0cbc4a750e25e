"""A DPoP proof counts once, whichever process and thread it is shown to, for as long as it would be accepted."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey
from pydantic import SecretStr

from gateway.oauth.dpop import SECONDS, Proof, checked
from gateway.oauth.proofs import Proofs
from gateway.oauth.refusals import BadProof
from gateway.settings import Settings
from tests.oauth.forging import signed

KEY = ECKey.generate_key("P-256")
URL = "https://remit.example/mcp"


@pytest.mark.parametrize(
    ("header", "claims"),
    [
        ({"jwk": {"kty": []}}, {}),
        ({"jwk": {"kty": {}}}, {}),
        ({"jwk": {"kty": "RSA", "n": 5, "e": 5}}, {}),
        ({}, {"iat": 10**400}),
        ({}, {"iat": -(10**400)}),
        ({}, {"jti": 10**400}),
    ],
)
def test_a_proof_that_is_not_even_well_formed_is_refused_like_any_other(
    header: dict[str, Any], claims: dict[str, Any]
) -> None:
    told = {"alg": "ES256", "typ": "dpop+jwt", "jwk": KEY.as_dict(private=False), **header}
    proof = signed({"htm": "POST", "htu": URL, "iat": 1_000, "jti": "1", **claims}, KEY, **told)
    with pytest.raises(BadProof):
        checked([proof], KEY.thumbprint(), "token", "POST", URL, 1_000.0)


def test_a_proof_counts_once_for_all_processes_and_is_forgotten_once_it_is_too_old(
    tmp_path: Path, database_url: str
) -> None:
    now, proof = 1_000.0, Proof("key", "id")
    settings = Settings(home=tmp_path, database_url=SecretStr(database_url))
    with settings.open_database() as one, settings.open_database() as other:
        here, there = (Proofs(database, lambda: now) for database in (one, other))
        with ThreadPoolExecutor(8) as threads:
            used = list(threads.map(lambda number: (here, there)[number % 2].use(proof, "larkspur"), range(16)))
        assert used.count(True) == 1
        assert here.use(Proof("other", "id"), "larkspur")
        assert here.use(Proof("key", "other"), "larkspur")
        now += 2 * SECONDS
        assert not there.use(proof, "larkspur")
        now += 2 * SECONDS
        assert there.use(proof, "larkspur"), "nobody would accept it any more, so it is not kept"
