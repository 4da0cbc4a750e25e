"""Who may be told what: colleagues what is a customer's own, a customer what is theirs, others what is public."""

import pytest

from connectors.contract import Confidentiality
from gateway.flow.audience import Links, audience, customers

OWN = ("larkspur.example",)
LENA, ACCOUNT = "lena@brightlab.example", "acc_0001"
LINKS = Links([frozenset({LENA, "con_0001", ACCOUNT}), frozenset({ACCOUNT, "brightlab.example"})])


def hidden(owner: str) -> str:
    return f"#{owner.lstrip('#')}"


def told(to: list[str], owners: set[str]) -> Confidentiality:
    return audience(to, owners, LINKS, OWN, hidden)


@pytest.mark.parametrize(
    ("to", "owners", "most"),
    [
        (["ana@larkspur.example"], {LENA}, Confidentiality.CUSTOMER),
        (["ana@larkspur.example"], set(), Confidentiality.CUSTOMER),
        ([LENA], {LENA}, Confidentiality.CUSTOMER),
        (["Lena@BrightLab.example"], {LENA}, Confidentiality.CUSTOMER),
        ([LENA], {LENA, ACCOUNT, "con_0001"}, Confidentiality.CUSTOMER),
        ([LENA], {LENA, "support@larkspur.example"}, Confidentiality.CUSTOMER),
        (["bo@brightlab.example"], {ACCOUNT}, Confidentiality.CUSTOMER),
        ([LENA], {f"#{LENA}"}, Confidentiality.CUSTOMER),
        ([LENA], {LENA, "other@elsewhere.example"}, Confidentiality.PUBLIC),
        ([LENA], {"#other@elsewhere.example"}, Confidentiality.PUBLIC),
        ([LENA], set(), Confidentiality.PUBLIC),
        ([LENA, "drop@evil.example"], {LENA}, Confidentiality.PUBLIC),
        (["drop@evil.example"], {LENA}, Confidentiality.PUBLIC),
        (["lena@evil.example"], {LENA}, Confidentiality.PUBLIC),
        (["ana@notlarkspur.example"], {LENA}, Confidentiality.PUBLIC),
        (["ana@larkspur.example", "drop@evil.example"], {LENA}, Confidentiality.PUBLIC),
    ],
)
def test_the_most_that_all_recipients_may_see(to: list[str], owners: set[str], most: Confidentiality) -> None:
    assert told(to, owners) is most


def test_a_domain_that_no_account_has_vouches_for_nobody_else_there() -> None:
    assert audience(["bo@mail.example"], {"lena@mail.example"}, Links(), OWN, str) is Confidentiality.PUBLIC


@pytest.mark.parametrize(
    ("owners", "count"),
    [
        (set(), 0),
        ({"support@larkspur.example"}, 0),
        ({LENA}, 1),
        ({LENA, "con_0001", ACCOUNT, "brightlab.example", "ana@larkspur.example"}, 1),
        ({LENA, f"#{LENA}", f"#{ACCOUNT}"}, 1),
        ({LENA, "otto@other.example"}, 2),
        ({f"#{LENA}", "#con_0001", LENA}, 1),
        ({"#con_0001", "con_0001", f"#{ACCOUNT}"}, 1),
        ({LENA, "#otto@other.example"}, 2),
        ({"#otto@other.example"}, 1),
        ({"#otto@other.example", "#olga@other.example"}, 2),
    ],
)
def test_how_many_customers_some_owners_are(owners: set[str], count: int) -> None:
    assert customers(owners, LINKS, OWN, hidden) == count


def test_an_account_at_a_domain_where_anybody_gets_an_address_makes_nobody_else_that_customer() -> None:
    links = Links([frozenset({"acc_0001", "gmail.com"}), frozenset({"acc_0001", "lena@gmail.com"})])

    assert audience(["mallory@gmail.com"], {"acc_0001"}, links, OWN, hidden) is Confidentiality.PUBLIC
    assert audience(["lena@gmail.com"], {"acc_0001"}, links, OWN, hidden) is Confidentiality.CUSTOMER


def test_very_many_owners_and_links_are_counted_without_comparing_each_with_each() -> None:
    people = [f"u{number}@evil.example" for number in range(20_000)]
    links = Links(frozenset({f"con_{number}", f"acc_{number}", f"c{number}.example"}) for number in range(10_000))

    assert customers(people, links, OWN, hidden) == len(people)
