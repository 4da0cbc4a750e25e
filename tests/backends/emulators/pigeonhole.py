"""Pigeonhole, a help desk that exists for the tutorial alone: its API is as plain as one can be."""

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

TOKENS = {"larkspur": "token-of-larkspur", "other": "token-of-another"}
AGENT = "ben@larkspur.example"

State = Literal["unread", "open", "waiting", "done", "archived"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Person(_Strict):
    name: str
    email: str


class _NewCard(_Strict):
    title: Annotated[str, Field(min_length=1, max_length=200)]
    text: str
    person: _Person
    urgency: Annotated[int, Field(ge=1, le=4)]
    labels: list[str]
    mark: str


class _Change(_Strict):
    state: State | None = None
    urgency: Annotated[int | None, Field(ge=1, le=4)] = None
    agent: str | None = None
    labels: list[str] | None = None
    mark: str


class _NewMessage(_Strict):
    text: str
    public: bool
    state: State | None = None
    mark: str


class Pigeonhole:
    """Every tenant's cards, which no other tenant's token shows."""

    def __init__(self) -> None:
        self._cards: dict[str, dict[int, dict[str, Any]]] = {tenant: {} for tenant in TOKENS}
        self._numbers, self._clock = count(1), count()

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1/me", self._me),
                Route("/v1/cards", self._cards_found),
                Route("/v1/cards", self._card_made, methods=["POST"]),
                Route("/v1/cards/{number:int}", self._card),
                Route("/v1/cards/{number:int}", self._card_changed, methods=["PATCH"]),
                Route("/v1/cards/{number:int}/messages", self._message_added, methods=["POST"]),
            ],
            exception_handlers={ValidationError: _unfit},
        )

    def make(self, tenant: str, title: str, email: str, name: str = "Bo") -> dict[str, Any]:
        """A card that somebody outside opened."""
        now = self._now()
        card: dict[str, Any] = {
            "number": next(self._numbers),
            "revision": 1,
            "title": title,
            "state": "unread",
            "urgency": 2,
            "person": {"name": name, "email": email},
            "agent": "",
            "labels": [],
            "messages": [],
            "created": now,
            "changed": now,
            "marks": [],
        }
        self._cards[tenant][card["number"]] = card
        return card

    def change(self, card: dict[str, Any], mark: str, **changed: Any) -> None:
        card |= changed
        card |= {"revision": card["revision"] + 1, "changed": self._now(), "marks": [*card["marks"], mark]}

    def say(self, card: dict[str, Any], text: str, author: str, *, public: bool, staff: bool) -> None:
        said = {"number": next(self._numbers), "at": self._now(), "author": author}
        card["messages"].append({**said, "text": text, "public": public, "staff": staff})

    def found(self, tenant: str, number: int) -> dict[str, Any]:
        if number not in self._cards[tenant]:
            raise HTTPException(404)
        return self._cards[tenant][number]

    def _now(self) -> str:
        return (datetime(2026, 3, 2, tzinfo=UTC) + timedelta(seconds=next(self._clock))).isoformat()

    async def _me(self, request: Request) -> Response:
        return JSONResponse({"space": _tenant(request)})

    async def _cards_found(self, request: Request) -> Response:
        given, cards = request.query_params, self._cards[_tenant(request)].values()
        found = sorted((card for card in cards if _fits(card, given)), key=_place, reverse=True)
        if after := given.get("after"):
            found = [card for card in found if _place(card) < after]
        page = found[: int(given.get("limit", "20"))]
        return JSONResponse(
            {
                "cards": [{**_shown(card), "messages": []} for card in page],
                "next": _place(page[-1]) if len(page) < len(found) else "",
            }
        )

    async def _card(self, request: Request) -> Response:
        return JSONResponse(_shown(self.found(_tenant(request), request.path_params["number"])))

    async def _card_made(self, request: Request) -> Response:
        tenant, wanted = _tenant(request), _NewCard.model_validate_json(await request.body())
        card = self.make(tenant, wanted.title, wanted.person.email, wanted.person.name)
        card |= {"urgency": wanted.urgency, "labels": wanted.labels, "marks": [wanted.mark]}
        self.say(card, wanted.text, "remit", public=True, staff=True)
        return JSONResponse({"number": card["number"]}, 201)

    async def _card_changed(self, request: Request) -> Response:
        card = self.found(_tenant(request), request.path_params["number"])
        wanted = _Change.model_validate_json(await request.body())
        if request.headers.get("if-match") != str(card["revision"]):
            return JSONResponse({"why": "it has changed"}, 412)
        self.change(card, **wanted.model_dump(exclude_none=True))
        return JSONResponse({"number": card["number"]})

    async def _message_added(self, request: Request) -> Response:
        card = self.found(_tenant(request), request.path_params["number"])
        wanted = _NewMessage.model_validate_json(await request.body())
        self.say(card, wanted.text, "remit", public=wanted.public, staff=True)
        self.change(card, wanted.mark, **({"state": wanted.state} if wanted.state else {}))
        return JSONResponse({"number": card["number"]}, 201)


async def _unfit(_request: Request, error: Exception) -> Response:
    return JSONResponse({"why": str(error).splitlines()[0]}, 422)


def _tenant(request: Request) -> str:
    shown = request.headers.get("authorization", "")
    for tenant, token in TOKENS.items():
        if shown == f"Bearer {token}":
            return tenant
    raise HTTPException(401)


def _shown(card: dict[str, Any]) -> dict[str, Any]:
    return {**{name: value for name, value in card.items() if name != "marks"}, "size": len(card["messages"])}


def _place(card: dict[str, Any]) -> str:
    return f"{card['changed']} {card['number']:09d}"


def _fits(card: dict[str, Any], given: Any) -> bool:
    text = " ".join([card["title"], *(each["text"] for each in card["messages"])]).casefold()
    plain = {"state": card["state"], "urgency": str(card["urgency"]), "agent": card["agent"]}
    plain |= {"person": card["person"]["email"]}
    return (
        all(word in text for word in given.get("words", "").casefold().split())
        and all(given[name] == value for name, value in plain.items() if name in given)
        and ("label" not in given or given["label"] in card["labels"])
        and ("mark" not in given or given["mark"] in card["marks"])
    )
