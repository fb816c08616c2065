"""The read path: look up, else one leads and asks upstream and all others follow.

Of the rules, the store, the barrier, downloads and upstream this room makes one answer.
``policy`` holds the questions, ``answer`` the values, ``lead`` what a leader does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from pkgproxy.barrier import LocalBarrier
from pkgproxy.cache.answer import Answer, Asked, Counters, Kept, Relayed
from pkgproxy.cache.lead import (
    Lead,
    Outcome,
    Shared,
    Stale,
    Unshareable,
    Validated,
    continues,
    following,
)
from pkgproxy.cache.policy import (
    bypass_reason,
    forwarded,
    has_credentials,
    only_if_cached,
    shared,
    wants_check,
)
from pkgproxy.download import Download
from pkgproxy.filters import Action
from pkgproxy.message.conditions import not_modified, range_applies
from pkgproxy.message.errors import ClientError, ProxyError, StoreError, UpstreamError
from pkgproxy.message.heads import HIT, CacheStatus
from pkgproxy.message.ranges import Span, parse_ranges
from pkgproxy.store import Store
from pkgproxy.upstream import Follow, Upstream, discard, stay, upgrade_only

#: A range that begins further than this ahead of the download is fetched on its own.
FAR_AHEAD = 8 * 1024 * 1024  # bytes

#: Methods that change nothing at the origin (RFC 9110 §9.2.1).
_SAFE = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE"})

#: How often a request may find that what it waited for is gone again (rm -rf).
_PATIENCE = 3


class Cache:
    """Answers requests, from disk where it can."""

    _log = Logger()

    def __init__(
        self, store: Store, upstream: Upstream, counters: Counters, now: Callable[[], float]
    ) -> None:
        self._store = store
        self._upstream = upstream
        self._counters = counters
        self._now = now
        self._barrier: LocalBarrier[Outcome] = LocalBarrier()

    def hit(self, asked: Asked) -> Kept | None:
        """The stored answer if it may be given without asking anybody."""
        action, fields = asked.rule.action, asked.head.fields
        if action is not Action.CACHE and action is not Action.AUTO:
            return None
        if wants_check(fields, asked.rule) and not only_if_cached(fields):
            return None
        if bypass_reason(asked.head, asked.rule, has_body=asked.body is not None):
            return None
        entry = self._store.look_up(asked.target.key)
        if entry is None:
            return None
        if action is Action.AUTO and entry.representation.changes:
            entry.release()
            return None
        self._counters.hits += 1
        return Kept(entry, entry.representation, HIT)

    async def answer(self, asked: Asked) -> Answer:
        """The answer to a request that is not a hit.

        Raises ProxyError.  May be cancelled when the client leaves; a download that it
        began goes on as long as that is worth it.
        """
        if asked.rule.action is Action.DENY:
            where = asked.rule.origin.rpartition("/")[2]
            raise ClientError(f"A rule of this proxy denies this URL ({where}).", 403)
        reason = bypass_reason(asked.head, asked.rule, has_body=asked.body is not None)
        if only_if_cached(asked.head.fields):
            return self._cached_only(asked, reason)
        if reason is not None:
            self._counters.bypassed += 1
            return await self._pass(asked, CacheStatus(fwd="bypass", detail=reason))
        if asked.head.method == b"HEAD":
            return await self._head(asked)
        return await self._get(asked, _PATIENCE)

    def _has(self, asked: Asked) -> bool:
        entry = self._store.look_up(asked.target.key)
        if entry is not None:
            entry.release()
        return entry is not None

    def _cached_only(self, asked: Asked, bypass: str | None) -> Answer:
        entry = self._store.look_up(asked.target.key) if bypass is None else None
        if entry is None:
            raise ClientError("This is not in the cache, and the client wants nothing else.", 504)
        self._counters.hits += 1
        return Kept(entry, entry.representation, HIT)

    async def _pass(self, asked: Asked, status: CacheStatus) -> Relayed:
        """The request as it is, to upstream and back."""
        follow: Follow = stay
        if asked.head.method in (b"GET", b"HEAD") and asked.body is None:
            # What belongs to one host is not told to another.
            follow = upgrade_only if has_credentials(asked.head.fields) else following(asked.rule)
        response = await self._upstream.fetch(
            asked.head.method,
            asked.target,
            forwarded(asked.head.fields),
            follow,
            asked.body,
            asked.interim,
        )
        if asked.head.method not in _SAFE and response.head.status < 400:
            self._invalidate(asked)
        return Relayed(response, replace(status, fwd_status=response.head.status))

    def _invalidate(self, asked: Asked) -> None:
        """What was just changed at the origin is not what is stored (RFC 9111 §4.4)."""
        try:
            self._store.remove(asked.target.key)
        except StoreError as error:
            self._log.warn("{error} It is served though the origin has changed it.", error=error)

    async def _head(self, asked: Asked) -> Answer:
        """HEAD stores nothing; it may learn from a download in progress."""
        place = self._barrier.peek(asked.target.key)
        if place is not None:
            outcome = await place.outcome()
            if isinstance(outcome, Shared):
                return self._join(outcome.download.attach(), asked, leads=False)
        self._counters.misses += 1
        answer, failure = None, None
        try:
            stored = self._has(asked)
            answer = await self._pass(asked, CacheStatus(fwd=_why(asked, stored=stored)))
            if answer.response.head.status < 500:
                return answer
        except UpstreamError as error:
            failure = error
        status = answer.response.head.status if answer is not None else 0
        stale = self._stale(asked, Stale(status), leads=True)
        if answer is None:
            if stale is None:
                raise failure or UpstreamError(f"{asked.target.host} did not answer.")
            return stale
        if stale is None:
            return answer
        discard(answer.response)
        return stale

    async def _get(self, asked: Asked, patience: int) -> Answer:
        """Lead or follow. In one thread nothing can be stored between look-up and join."""
        place, leads = self._barrier.join(asked.target.key)
        lead = Lead(place, asked, self._store, self._upstream, self._now) if leads else None
        if lead is not None:
            Deferred.fromCoroutine(lead.run()).addErrback(
                lambda reason: self._log.failure("{asked}", reason, asked=asked)
            )
        try:
            outcome = await place.outcome()
        except CancelledError:
            if lead is not None:
                lead.client_left()
            raise
        if isinstance(outcome, Shared):
            return await self._share(outcome, asked, leads=leads)
        if isinstance(outcome, Unshareable):
            return await self._relay(outcome, asked, leads=leads)
        answer = self._stored(outcome, asked, leads=leads)
        if answer is not None:
            return answer
        if patience:
            return await self._get(asked, patience - 1)
        return await self._pass(asked, CacheStatus(fwd="uri-miss", detail="vanished"))

    def _stored(self, outcome: Validated | Stale, asked: Asked, *, leads: bool) -> Kept | None:
        if isinstance(outcome, Stale):
            return self._stale(asked, outcome, leads=leads)
        entry = self._store.look_up(asked.target.key)
        if entry is None:
            return None
        self._count(leads, "revalidated")
        status = CacheStatus(fwd=_why(asked, stored=True), fwd_status=304, collapsed=not leads)
        return Kept(entry, entry.representation, status)

    def _stale(self, asked: Asked, outcome: Stale, *, leads: bool) -> Kept | None:
        """What is there, though the origin could not vouch for it."""
        entry = self._store.look_up(asked.target.key)
        if entry is None:
            return None
        self._counters.stale += 1
        status = CacheStatus(
            fwd="stale", fwd_status=outcome.status, collapsed=not leads, detail="stale-if-error"
        )
        return Kept(entry, entry.representation, status)

    async def _relay(self, outcome: Unshareable, asked: Asked, *, leads: bool) -> Answer:
        """The leader gets the answer it asked for; the others ask, and do not queue."""
        self._counters.misses += 1
        status = CacheStatus(fwd=_why(asked, stored=outcome.replaces), detail=outcome.reason)
        if leads:
            return Relayed(
                outcome.response, replace(status, fwd_status=outcome.response.head.status)
            )
        return await self._pass(asked, status)

    async def _share(self, outcome: Shared, asked: Asked, *, leads: bool) -> Answer:
        # From here on this client counts as a reader, whatever comes of the range beside.
        download = outcome.download.attach()
        if _far_ahead(asked, download):
            try:
                answer = await self._beside(asked, download)
            except CancelledError:
                download.release()
                raise
            if answer is not None:
                return answer
        return self._join(download, asked, leads=leads)

    def _join(self, download: Download, asked: Asked, *, leads: bool) -> Kept:
        """An answer from a download that the caller is attached to."""
        if download.failure is not None:
            download.release()
            raise download.failure
        self._count(leads, "misses")
        status = CacheStatus(
            fwd=_why(asked, stored=download.replaces),
            fwd_status=download.fwd_status if leads else 0,
            stored=leads,
            collapsed=not leads,
        )
        return Kept(download, download.representation, status)

    async def _beside(self, asked: Asked, download: Download) -> Relayed | None:
        """A far range by a request of its own, certainly of the same version; or None."""
        stored = download.representation
        validator = stored.strong_validator()
        if validator is None or not download.ranged:
            return None
        wanted = [(b"Range", asked.head.fields.get(b"range") or b""), (b"If-Range", validator)]
        fields = [*shared(asked.head.fields), *wanted]
        try:
            response = await self._upstream.fetch(
                b"GET", asked.target, fields, following(asked.rule)
            )
        except ProxyError:
            return None  # the download will come to these bytes
        if not continues(response, stored, _span(asked, download)):
            discard(response)
            download.ranged = False
            return None
        self._counters.misses += 1
        status = CacheStatus(fwd="partial", fwd_status=206, detail="far-ahead")
        return Relayed(response, status, download.release)

    def _count(self, leads: bool, name: str) -> None:
        name = name if leads else "collapsed"
        setattr(self._counters, name, getattr(self._counters, name) + 1)


def _why(asked: Asked, *, stored: bool) -> str:
    """Why upstream was asked, as the fwd parameter (RFC 9211 §2.2)."""
    if not stored:
        return "uri-miss"
    return "request" if wants_check(asked.head.fields, asked.rule) else "stale"


def _far_ahead(asked: Asked, download: Download) -> bool:
    """Whether waiting for the download would starve the client."""
    span = _span(asked, download)
    return span is not None and span[0] > download.size + FAR_AHEAD


def _span(asked: Asked, download: Download) -> Span | None:
    """The one range of a download that a client asks for, if it is one and applies."""
    fields, stored = asked.head.fields, download.representation
    if download.length is None or b"range" not in fields:
        return None
    if not_modified(fields, stored) or not range_applies(fields, stored):
        return None
    try:
        spans = parse_ranges(fields.get(b"range"), download.length)
    except ClientError:
        return None
    return spans[0] if spans is not None and len(spans) == 1 else None
