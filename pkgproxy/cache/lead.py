"""What the leader of a key does: ask upstream once, on behalf of all who want it.

It runs apart from the client that caused it, which may leave.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from twisted.logger import Logger
from twisted.python.failure import Failure

from pkgproxy.barrier import Place
from pkgproxy.cache.answer import Asked
from pkgproxy.cache.policy import changes, for_one_client, shared, unshareable_reason
from pkgproxy.download import Download
from pkgproxy.filters import Action, Rule
from pkgproxy.http1.response import Response
from pkgproxy.message.errors import ProxyError, StoreError, UpstreamError
from pkgproxy.message.fields import Field, Fields
from pkgproxy.message.heads import Representation, upstream_age
from pkgproxy.message.ranges import Span, parse_content_range
from pkgproxy.store import Store
from pkgproxy.store.entry import Entry
from pkgproxy.store.partial import Partial
from pkgproxy.upstream import Follow, Upstream, discard, redirect, upgrade_only

#: What of a 304 updates the stored header section.
_UPDATED = frozenset({b"cache-control", b"expires"})


@dataclass(frozen=True, slots=True)
class Shared:
    """A download that everybody may join."""

    download: Download


@dataclass(frozen=True, slots=True)
class Validated:
    """The stored body is good."""


@dataclass(frozen=True, slots=True)
class Stale:
    """The stored body is all there is; ``status`` is the origin's 5xx, or 0."""

    status: int


@dataclass(frozen=True, slots=True)
class Unshareable:
    """An answer for the leader's own client only, and why; ``replaces`` if a body is stored."""

    response: Response
    reason: str
    replaces: bool = False


Outcome = Shared | Validated | Stale | Unshareable


def following(rule: Rule) -> Follow:
    """Which redirects are followed: all for names that say what they are, else upgrades."""
    return redirect if rule.action is Action.CACHE else upgrade_only


class Lead:
    """One leadership of one key."""

    _log = Logger()

    def __init__(
        self,
        place: Place[Outcome],
        asked: Asked,
        store: Store,
        upstream: Upstream,
        now: Callable[[], float],
    ) -> None:
        self._place = place
        self._asked = asked
        self._store = store
        self._upstream = upstream
        self._now = now
        self._wanted = True

    def client_left(self) -> None:
        """The client that caused this is gone: an answer for it alone is of no use."""
        self._wanted = False

    async def run(self) -> None:
        """Ask, and tell the followers what came of it."""
        key = self._asked.target.key
        entry = self._store.look_up(key)
        try:
            outcome = await self._ask(entry)
        except ProxyError as error:
            if entry is None or not isinstance(error, UpstreamError):
                self._place.fail(Failure())
                return
            self._log.info("{key} is served stale: {error}", key=key, error=error)
            outcome = Stale(0)
        except BaseException:
            self._place.fail(Failure())
            raise
        finally:
            if entry is not None:
                entry.release()
        self._publish(outcome)

    def _publish(self, outcome: Outcome) -> None:
        if isinstance(outcome, Shared):
            # Counted as a reader until all who waited have joined.
            download = outcome.download.attach()
            self._place.publish(outcome)
            try:
                download.start()
            finally:
                download.release()
            return
        self._place.leave()
        self._place.publish(outcome)
        if isinstance(outcome, Unshareable) and not self._wanted:
            outcome.response.stopProducing()

    async def _ask(self, entry: Entry | None) -> Outcome:
        partial = self._store.resume(self._asked.target.key) if entry is None else None
        if partial is not None:
            try:
                outcome = await self._continue(partial)
            except BaseException:
                partial.close()
                raise
            if outcome is not None:
                return outcome
        response = await self._fetch(_validators(entry))
        status = response.head.status
        if status == 304 and entry is not None:
            discard(response)
            self._freshen(entry, response)
            return Validated()
        if status >= 500 and entry is not None:
            discard(response)
            return Stale(status)
        if status in (206, 304):
            discard(response)
            raise UpstreamError(f"{self._asked.target.host} sent a {status} nobody asked for.")
        return self._begin(response, replaces=entry is not None)

    async def _fetch(self, more: list[Field]) -> Response:
        asked = self._asked
        fields = [*shared(asked.head.fields), *more]
        return await self._upstream.fetch(b"GET", asked.target, fields, following(asked.rule))

    def _freshen(self, entry: Entry, response: Response) -> None:
        """Take over what a 304 says anew of how long it is good (RFC 9111 §3.2).

        Nothing else of it: its other fields are for the client that asked, or describe
        the body, which has not changed.
        """
        now, stored = self._now(), entry.representation
        told = Representation.of(response.head, now)
        news = [item for item in told.fields if item[0].lower() in _UPDATED]
        if for_one_client(response.head.fields):
            news = []
        names = {name.lower() for name, _ in news}
        kept = [item for item in stored.fields if item[0].lower() not in names]
        changing = changes(response.head, now) if news else stored.changes
        fields = Fields([*kept, *news])
        fresh = Representation(fields, told.date, told.checked, entry.size, changing)
        self._store.freshen(self._asked.target.key, entry, fresh)

    def _begin(self, response: Response, *, replaces: bool) -> Outcome:
        """A download into a new partial, if the answer may be kept."""
        reason = unshareable_reason(response.head, response.framing)
        if reason is not None:
            return Unshareable(response, reason, replaces)
        now = self._now()
        representation = Representation.of(response.head, now, changes=changes(response.head, now))
        representation.length = response.length
        try:
            partial = self._store.begin(self._asked.target.key, representation)
        except StoreError as error:
            self._log.warn("{url} is not stored: {error}", url=self._asked.target.url, error=error)
            return Unshareable(response, "store", replaces)
        return self._download(partial, response, replaces=replaces)

    def _download(self, partial: Partial, response: Response, *, replaces: bool) -> Shared:
        download = Download(
            self._store, self._asked.target.key, partial, response, lambda _: self._place.leave()
        )
        download.replaces = replaces
        download.fwd_status = response.head.status
        return Shared(download)

    async def _continue(self, partial: Partial) -> Outcome | None:
        """The rest of what an earlier download left, or None to ask for the whole."""
        stored = partial.representation
        validator = stored.strong_validator() or b""
        more = [(b"Range", b"bytes=%d-" % partial.size), (b"If-Range", validator)]
        response = await self._fetch(more)
        length = stored.length or 0
        if continues(response, stored, (partial.size, length)):
            stored.checked = self._now() - upstream_age(response.head.fields)
            return self._download(partial, response, replaces=False)
        if response.head.status == 200:
            # Another version. begin takes the same file again, so its lock must go first.
            partial.close()
            return self._begin(response, replaces=False)
        if response.head.status in (206, 416):
            discard(response)
            partial.discard()
            partial.close()
            return None
        partial.close()
        return Unshareable(response, "status")


def _validators(entry: Entry | None) -> list[Field]:
    """The conditions that ask whether an entry is still good (RFC 9111 §4.3.1)."""
    if entry is None:
        return []
    fields = []
    if entry.representation.etag is not None:
        fields.append((b"If-None-Match", entry.representation.etag))
    if entry.representation.last_modified is not None:
        fields.append((b"If-Modified-Since", entry.representation.last_modified))
    return fields


def continues(response: Response, stored: Representation, wanted: Span | None) -> bool:
    """Whether an answer is just this part of just this body (RFC 9110 §15.3.7)."""
    told = response.head.fields
    if response.head.status != 206 or wanted is None or stored.length is None:
        return False
    if parse_content_range(told.get(b"content-range")) != (*wanted, stored.length):
        return False
    if stored.etag is not None:
        return told.get(b"etag") == stored.etag
    return told.get(b"last-modified") == stored.last_modified
