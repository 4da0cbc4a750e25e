"""Reads tickets of one service project, and who wrote what."""

from dataclasses import dataclass
from typing import Any, Final

from connectors.contract import CallContext
from connectors.embedded.pages import decode_cursor, encode_cursor
from connectors.errors import Unavailable
from connectors.ticketing.jira.declared import DeclaredJira
from connectors.ticketing.jira.query import wanted, within
from connectors.ticketing.jira.records import FIELDS, MARK, Comments, CommentSent, Issue, Issues, MarkedIssues, User
from connectors.ticketing.told import missing
from connectors.ticketing.tools import Comment, SearchTickets, Ticket, TicketSummary
from connectors.vendor.api import Api
from connectors.vendor.ids import number_of, shown

_PAGE: Final = 100
_MOST_PAGES: Final = 50
_LATEST: Final = 100
"""Among how many of the latest changed issues a mark is looked for."""


@dataclass(frozen=True)
class Desk:
    """The project.

    Args:
        api: The way to Jira.
        declared: Which project, and how it calls things.
    """

    api: Api
    declared: DeclaredJira

    async def issue(self, call: CallContext, id_: str) -> Issue:
        """A ticket's issue.

        Raises:
            NotFound: If it is not in the project.
        """
        return await self._issue(call, number_of(id_, "ticket", "ticket_id"))

    async def whole(self, call: CallContext, number: int) -> Ticket:
        """A ticket with its thread: read before the thread, so that its version is never newer than what is told.

        Raises:
            NotFound: If it is not in the project.
        """
        issue = await self._issue(call, number)
        comments = await self.comments(call, number)
        writers = {each.author.id for each in comments if each.author}
        writers |= {issue.fields.creator.id} if issue.fields.creator else set()
        staff = {account for account in sorted(writers) if await self._is_staff(call, account)}
        told = {**self.summary(issue).model_dump(), "comment_count": len(comments) + 1}
        return Ticket(**told, comments=[_described(issue, staff), *(_told(each, staff) for each in comments)])

    async def page(self, call: CallContext, args: SearchTickets) -> tuple[list[TicketSummary], str]:
        """Tickets that somebody looks for, and the cursor of the next page."""
        people = [args.requester_email or "", args.assignee]
        accounts = [await self.account(call, address) if address else "" for address in people]
        if None in accounts:
            return [], ""
        asked: dict[str, Any] = {"jql": wanted(self.declared, args, *map(str, accounts)), "fields": FIELDS}
        if args.cursor:
            asked["nextPageToken"] = decode_cursor(args.cursor, (str,))[0]
        found = await self.api.read(call, "POST", "/api/2/search/jql", json={**asked, "maxResults": args.limit})
        page = found.as_(Issues)
        return [self.summary(issue) for issue in page.issues], encode_cursor([page.next]) if page.next else ""

    async def marked(self, call: CallContext, key: str) -> int | None:
        """The issue in which a write has left its key, if it is among those that changed last."""
        asked = {"jql": f"{within(self.declared)} AND updated >= -1d ORDER BY updated DESC", "maxResults": _LATEST}
        more = {"fields": ["updated"], "properties": [MARK]}
        found = await self.api.read(call, "POST", "/api/2/search/jql", json={**asked, **more})
        return next((each.id for each in found.as_(MarkedIssues).issues if each.key == key), None)

    async def comments(self, call: CallContext, number: int) -> list[CommentSent]:
        """All comments of an issue, with their properties."""
        found: list[CommentSent] = []
        for _ in range(_MOST_PAGES):
            asked = {"startAt": len(found), "maxResults": _PAGE, "orderBy": "created", "expand": "properties"}
            gone = missing(shown("tic", number))
            reply = await self.api.read(call, "GET", f"/api/2/issue/{number}/comment", params=asked, missing=gone)
            page = reply.as_(Comments)
            found += page.comments
            if not page.comments or len(found) >= page.total:
                return found
        raise Unavailable(f"{self.api.site.name} has more comments on the ticket than can be read at once")

    async def account(self, call: CallContext, address: str) -> str | None:
        """The account of the person who has an address."""
        reply = await self.api.read(call, "GET", "/api/2/user/search", params={"query": address})
        found = reply.as_(list[User])
        return next((each.id for each in found if each.address.casefold() == address.casefold()), None)

    def summary(self, issue: Issue) -> TicketSummary:
        """The ticket as the tools tell of it; its version is the second in which it last changed."""
        fields = issue.fields
        return TicketSummary(
            id=shown("tic", issue.id),
            subject=fields.summary,
            status=self.declared.statuses.ours(fields.status.name),
            priority=self.declared.priorities.ours(fields.priority.name) if fields.priority else "normal",
            requester_name=fields.reporter.name if fields.reporter else "",
            requester_email=fields.reporter.address if fields.reporter else "",
            assignee=fields.assignee.called if fields.assignee else "",
            tags=fields.labels,
            comment_count=fields.comment.total + 1,
            created_at=fields.created,
            updated_at=fields.updated,
            version=int(fields.updated.timestamp()),
        )

    async def _issue(self, call: CallContext, number: int) -> Issue:
        gone = missing(shown("tic", number))
        asked = {"fields": ",".join(FIELDS)}
        reply = await self.api.read(call, "GET", f"/api/2/issue/{number}", params=asked, missing=gone)
        issue = reply.as_(Issue)
        if issue.fields.project.key != self.declared.project:
            raise gone
        return issue

    async def _is_staff(self, call: CallContext, account: str) -> bool:
        """Whether tickets of the project can be assigned to somebody: customers cannot be assigned any."""
        asked = {"project": self.declared.project, "accountId": account}
        reply = await self.api.read(call, "GET", "/api/2/user/assignable/search", params=asked)
        return any(each.id == account for each in reply.as_(list[User]))


def _described(issue: Issue, staff: set[str]) -> Comment:
    """A ticket's description, which is what was said first. Who writes mail reports what they create."""
    author, reporter = issue.fields.creator, issue.fields.reporter
    by_staff = author is not None and author.id in staff and (reporter is None or reporter.id != author.id)
    return Comment(
        id=f"com_d{issue.id:04d}",
        kind="public",
        author=author.called if author else "",
        by_staff=by_staff,
        body=_text(issue.fields.description),
        at=issue.fields.created,
    )


def _told(comment: CommentSent, staff: set[str]) -> Comment:
    # Whoever writes mail can call themselves what they like. It makes public comments, without properties.
    by_mail = comment.public and comment.key is None
    return Comment(
        id=shown("com", comment.id),
        kind="public" if comment.public else "internal",
        author=comment.author.called if comment.author else "",
        by_staff=comment.author is not None and comment.author.id in staff and not by_mail,
        body=_text(comment.body),
        at=comment.created,
    )


def _text(body: str) -> str:
    return body.replace("\r\n", "\n")
