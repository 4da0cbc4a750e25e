"""HubSpot as its published description of the CRM API says: objects, search, associations, owners.

What it is sent has to be as described there; a search is as blunt as HubSpot's own.
"""

import re
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

TOKEN = "pat-eu1-0000"
UNIQUE = {"contacts": {"email", "remit_key"}, "companies": set(), "deals": {"remit_key"}, "notes": set()}
KNOWN = {
    "contacts": {"firstname", "lastname", "email", "phone", "jobtitle", "hs_language", "remit_key", "remit_notes"},
    "companies": {"name", "domain", "industry", "country", "hubspot_owner_id", "remit_tier"},
    "deals": {
        *("dealname", "dealstage", "pipeline", "amount", "deal_currency_code", "closedate", "hubspot_owner_id"),
        *("hs_next_step", "remit_key"),
    },
    "notes": {"hs_timestamp", "hs_note_body"},
}
STAGES = {"appointmentscheduled", "qualifiedtobuy", "presentationscheduled", "closedwon", "closedlost"}
LINKS = {
    ("contacts", "companies"): 279,
    ("deals", "companies"): 341,
    ("notes", "contacts"): 202,
    ("notes", "companies"): 190,
}
_MOST_FILTERS, _MOST_RESULTS, _MOST_A_PAGE = 6, 10_000, 200
_SEARCHED = {"contacts": ("firstname", "lastname", "email", "phone"), "companies": ("name", "domain")}


class Refused(Exception):
    """What HubSpot says no with."""

    def __init__(self, status: int, message: str, category: str = "VALIDATION_ERROR") -> None:
        super().__init__(message)
        self.status, self.category = status, category


class HubSpot:
    """One portal."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, dict[str, Any]]] = {kind: {} for kind in KNOWN}
        self.links: defaultdict[tuple[str, str, str], list[str]] = defaultdict(list)
        self.merged: dict[str, str] = {}
        self._ids, self._ticks = count(101), count()
        one, many = "/crm/v3/objects/{kind}/{id}", "/crm/v3/objects/{kind}"
        self.app = Starlette(
            routes=[
                Route(f"{many}/search", self._told(self._search), methods=["POST"]),
                Route(f"{many}/batch/read", self._told(self._batch), methods=["POST"]),
                Route(one, self._told(self._get), methods=["GET"]),
                Route(one, self._told(self._patch), methods=["PATCH"]),
                Route(many, self._told(self._create), methods=["POST"]),
                Route(many, self._told(self._list), methods=["GET"]),
                Route("/crm/v4/associations/{kind}/{to}/batch/read", self._told(self._linked), methods=["POST"]),
                Route("/crm/v3/properties/{kind}/{name}", self._told(self._property), methods=["GET"]),
                Route("/crm/v3/owners", self._told(self._owners), methods=["GET"]),
            ]
        )

    def add(self, kind: str, properties: dict[str, str], links: list[tuple[str, str]] = []) -> str:  # noqa: B006
        """Add an object beside the API; `links` name kinds and ids."""
        self._check(kind, properties, "")
        id_ = str(next(self._ids))
        now = self._now()
        self.objects[kind][id_] = {"createdAt": now, "updatedAt": now, "properties": dict(properties)}
        for to, to_id in links:
            self.links[kind, id_, to].append(to_id)
            self.links[to, to_id, kind].append(id_)
        return id_

    def change(self, kind: str, id_: str, properties: dict[str, str]) -> None:
        """Change an object beside the API."""
        self._check(kind, properties, id_)
        self.objects[kind][id_]["properties"] |= properties
        self.objects[kind][id_]["updatedAt"] = self._now()

    def _now(self) -> str:
        # Two changes are never at the same millisecond here.
        at = datetime(2026, 11, 1, tzinfo=UTC) + timedelta(milliseconds=next(self._ticks))
        return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def _check(self, kind: str, properties: dict[str, Any], id_: str) -> None:
        for name, value in properties.items():
            if name not in KNOWN[kind]:
                raise Refused(400, f'Property "{name}" does not exist')
            if not isinstance(value, str):
                raise Refused(400, f"Property values were not valid: {name} is no string")
            if name in UNIQUE[kind] and value:
                for other, row in self.objects[kind].items():
                    if other != id_ and row["properties"].get(name, "").lower() == value.lower():
                        raise Refused(409, f"Contact already exists. Existing ID: {other}", "CONFLICT")
        if properties.get("dealstage", "closedwon") not in STAGES:
            raise Refused(400, f'"{properties["dealstage"]}" was not one of the allowed options')

    def _told(self, handle: Callable[[Request, Any], Any]) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            headers = {"x-hubspot-correlation-id": "c0rre1a7-10n1"}
            try:
                if request.headers.get("authorization") != f"Bearer {TOKEN}":
                    raise Refused(401, "Authentication credentials not found", "INVALID_AUTHENTICATION")
                kind = request.path_params.get("kind", "contacts")
                if kind not in KNOWN:
                    raise Refused(400, f"Unable to infer object type from: {kind}")
                body = await request.json() if request.method in ("POST", "PATCH") else {}
                status, found = handle(request, body)
                return JSONResponse(found, status, headers)
            except Refused as error:
                told = {"status": "error", "message": str(error), "category": error.category}
                return JSONResponse({**told, "correlationId": "c0rre1a7-10n1"}, error.status, headers)

        return answer

    def _shown(self, kind: str, id_: str, properties: list[str], linked: str = "") -> dict[str, Any]:
        row = self.objects[kind][id_]
        modified = "lastmodifieddate" if kind == "contacts" else "hs_lastmodifieddate"
        always = {"hs_object_id": id_, "createdate": row["createdAt"], modified: row["updatedAt"]}
        values = {name: row["properties"].get(name) for name in properties} | always
        shown = {"id": id_, "properties": values, "archived": False}
        shown |= {name: row[name] for name in ("createdAt", "updatedAt")}
        if linked and (to := self.links[kind, id_, linked]):
            shown["associations"] = {linked: {"results": [{"id": each, "type": "x_to_y"} for each in to]}}
        return shown

    def _get(self, request: Request, _body: Any) -> tuple[int, Any]:
        kind, id_ = request.path_params["kind"], request.path_params["id"]
        if by := request.query_params.get("idProperty"):
            if by not in UNIQUE[kind]:
                raise Refused(400, f"{by} is not a unique identifier property")
            rows = self.objects[kind].items()
            id_ = next((each for each, row in rows if row["properties"].get(by) == id_), "0")
        id_ = self.merged.get(id_, id_)
        if id_ not in self.objects[kind]:
            raise Refused(404, "resource not found", "OBJECT_NOT_FOUND")
        asked = request.query_params.get("properties", "").split(",")
        return 200, self._shown(kind, id_, asked, request.query_params.get("associations", ""))

    def _list(self, request: Request, _body: Any) -> tuple[int, Any]:
        kind = request.path_params["kind"]
        return 200, {"results": [self._shown(kind, id_, []) for id_ in self.objects[kind]][:1]}

    def _create(self, request: Request, body: Any) -> tuple[int, Any]:
        kind = request.path_params["kind"]
        if body.keys() - {"properties", "associations"}:
            raise Refused(400, "Invalid input JSON")
        links = []
        for link in body.get("associations", []):
            [type_] = link["types"]
            to = next(
                (to for (of, to), number in LINKS.items() if of == kind and number == type_["associationTypeId"]), ""
            )
            if type_["associationCategory"] != "HUBSPOT_DEFINED" or link["to"]["id"] not in self.objects.get(to, {}):
                raise Refused(400, "association is not valid")
            links.append((to, link["to"]["id"]))
        id_ = self.add(kind, body["properties"], links)
        return 201, self._shown(kind, id_, list(body["properties"]))

    def _patch(self, request: Request, body: Any) -> tuple[int, Any]:
        kind, id_ = request.path_params["kind"], request.path_params["id"]
        if id_ not in self.objects[kind]:
            raise Refused(404, "resource not found", "OBJECT_NOT_FOUND")
        if body.keys() != {"properties"}:
            raise Refused(400, "Invalid input JSON")
        self.change(kind, id_, body["properties"])
        return 200, self._shown(kind, id_, list(body["properties"]))

    def _search(self, request: Request, body: Any) -> tuple[int, Any]:
        kind, limit = request.path_params["kind"], body.get("limit", 10)
        if body.keys() - {"filterGroups", "sorts", "query", "properties", "limit", "after"} or limit > _MOST_A_PAGE:
            raise Refused(400, "Invalid input JSON")
        if int(body.get("after", 0)) + limit > _MOST_RESULTS or len(body.get("sorts", [])) > 1:
            raise Refused(400, "There was a problem with the request")
        [group] = body.get("filterGroups") or [{"filters": []}]
        if len(group["filters"]) > _MOST_FILTERS:
            raise Refused(400, "Too many filters")
        found = [id_ for id_ in self.objects[kind] if all(self._fits(kind, id_, each) for each in group["filters"])]
        found = [id_ for id_ in found if self._holds(kind, id_, body.get("query", ""))]
        found.sort(key=int, reverse=(body.get("sorts") or [{}])[0].get("direction") == "DESCENDING")
        shown = [self._shown(kind, id_, body.get("properties", [])) for id_ in found[:limit]]
        return 200, {"total": len(found), "results": shown}

    def _fits(self, kind: str, id_: str, asked: dict[str, Any]) -> bool:
        name, operator = asked["propertyName"], asked["operator"]
        if name == "associations.company":
            return asked["value"] in self.links[kind, id_, "companies"]
        if name not in KNOWN[kind] | {"hs_object_id"}:
            raise Refused(400, f"There was a problem with the request: {name}")
        value = id_ if name == "hs_object_id" else self.objects[kind][id_]["properties"].get(name, "")
        match operator:
            case "EQ":
                return bool(value.lower() == asked["value"].lower())
            case "LT":
                return int(value) < int(asked["value"])
            case "IN":
                return value in asked["values"]
            case "CONTAINS_TOKEN":
                return asked["value"].lower() in _tokens(value)
        raise Refused(400, f"{operator} is not a known operator")

    def _holds(self, kind: str, id_: str, query: str) -> bool:
        properties = self.objects[kind][id_]["properties"]
        words = " ".join(properties.get(name, "") for name in _SEARCHED.get(kind, ()))
        there = _tokens(words)
        return all(any(each.startswith(word) for each in there) for word in _tokens(query))

    def _batch(self, request: Request, body: Any) -> tuple[int, Any]:
        kind, ids = request.path_params["kind"], [each["id"] for each in body["inputs"]]
        if len(ids) > 100 or len(set(ids)) != len(ids):
            raise Refused(400, "Duplicate or too many IDs")
        there = [id_ for id_ in ids if id_ in self.objects[kind]]
        found = [self._shown(kind, id_, body["properties"]) for id_ in there]
        return 200 if len(there) == len(ids) else 207, {**self._batch_done(), "results": found}

    def _linked(self, request: Request, body: Any) -> tuple[int, Any]:
        kind, to = request.path_params["kind"], request.path_params["to"]
        types = [{"category": "HUBSPOT_DEFINED", "typeId": LINKS[kind, to], "label": None}]
        found = []
        for each in body["inputs"]:
            ids = self.links[kind, each["id"], to]
            linked = [{"toObjectId": int(id_), "associationTypes": types} for id_ in ids]
            found += [{"from": {"id": each["id"]}, "to": linked}] if linked else []
        return 200 if len(found) == len(body["inputs"]) else 207, {**self._batch_done(), "results": found}

    def _batch_done(self) -> dict[str, str]:
        return {"status": "COMPLETE", "startedAt": self._now(), "completedAt": self._now()}

    def _property(self, request: Request, _body: Any) -> tuple[int, Any]:
        kind, name = request.path_params["kind"], request.path_params["name"]
        if name not in KNOWN[kind]:
            raise Refused(404, f"Property {name} does not exist", "OBJECT_NOT_FOUND")
        form = {"type": "string", "fieldType": "text", "groupName": "information", "description": "", "options": []}
        return 200, {"name": name, "label": name, "hasUniqueValue": name in UNIQUE[kind], **form}

    def _owners(self, request: Request, _body: Any) -> tuple[int, Any]:
        times = {"createdAt": self._now(), "updatedAt": self._now(), "archived": False, "type": "PERSON"}
        first = [{"id": "6", "email": "eva@larkspur.example", **times}]
        if "after" not in request.query_params:
            return 200, {"results": first, "paging": {"next": {"after": "6"}}}
        return 200, {"results": [{"id": "7", "email": "ben@larkspur.example", **times}]}


def _tokens(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())
