"""The embedded CRM keeps the contract of every CRM back end."""

from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Connection, select

from connectors.crm.embedded import EmbeddedCrm
from connectors.crm.loading import CrmRecord
from connectors.crm.tables import activities, contacts
from connectors.embedded.database import Database, stable_id
from connectors.records import AccountRecord, ContactRecord, DealRecord, OrderLineRecord, OrderRecord
from tests.backends.crm import HERE, MANY, CrmContract, World, a_call
from tests.sqlite import ready_company

AT = a_call().now - timedelta(days=1)
TIMES = {"created_at": AT, "updated_at": AT}


class EmbeddedWorld(World):
    def __init__(self, database: Database) -> None:
        self.database, self.crm, self.sources = database, EmbeddedCrm(database), dict[str, str]()

    async def account(self, name: str, **facts: Any) -> str:
        return await self._loaded("acc", lambda source: AccountRecord(source_id=source, name=name, **TIMES, **facts))

    async def contact(self, name: str, email: str, account: str = "") -> str:
        at = self.sources.get(account, "")
        return await self._loaded(
            "con", lambda source: ContactRecord(source_id=source, name=name, email=email, account=at, **TIMES)
        )

    async def deal(self, account: str, title: str, amount: Decimal) -> str:
        fields = {"account": self.sources[account], "title": title, "stage": "lead", "amount": amount}
        return await self._loaded(
            "dea", lambda source: DealRecord.model_validate({"source_id": source, "currency": "EUR", **fields, **TIMES})
        )

    async def order(self, account: str, number: str) -> tuple[str, str]:
        lines = [("Scarf", 3, Decimal("19.90")), ("Box", 1, Decimal("0.30"))]
        made = [OrderLineRecord(sku=name, name=name, quantity=count, unit_price=price) for name, count, price in lines]
        fields = {"account": self.sources[account], "number": number, "status": "delivered", "currency": "EUR"}

        def record(source: str) -> OrderRecord:
            return OrderRecord.model_validate({"source_id": source, "lines": made, "placed_at": AT, **fields})

        return await self._loaded("ord", record), number

    async def many_contacts(self) -> str:
        account = await self.account("Large Ltd")
        at, people = self.sources[account], range(MANY)
        of = [(f"m{number}", f"Person {number}", f"p{number}@large.example") for number in people]
        records = [ContactRecord(source_id=s, name=name, email=mail, account=at, **TIMES) for s, name, mail in of]
        await self.crm.load(HERE, records)
        return account

    async def rename_contact(self, contact: str, name: str) -> None:
        row = contacts.update().where(contacts.c.tenant == HERE, contacts.c.id == contact)
        changed = row.values(name=name, version=contacts.c.version + 1)
        await self.database.change(HERE, lambda connection: connection.execute(changed))

    async def delete_contact(self, contact: str) -> None:
        row = contacts.delete().where(contacts.c.tenant == HERE, contacts.c.id == contact)
        await self.database.change(HERE, lambda connection: connection.execute(row))

    async def activities_of(self, contact: str) -> list[str]:
        def subjects(connection: Connection) -> list[str]:
            asked = select(activities.c.subject).where(activities.c.tenant == HERE, activities.c.contact_id == contact)
            return list(connection.execute(asked).scalars())

        return await self.database.read(HERE, subjects)

    async def _loaded(self, prefix: str, record: Any) -> str:
        source = uuid4().hex
        made: CrmRecord = record(source)
        await self.crm.load(HERE, [made])
        id_ = stable_id(prefix, HERE, source)
        self.sources[id_] = source
        return id_


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[EmbeddedWorld]:
    database = Database(ready_company(tmp_path / "company.db"))
    world = EmbeddedWorld(database)
    await world.seed()
    yield world
    database.close()


class TestEmbedded(CrmContract):
    pass
