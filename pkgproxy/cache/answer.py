"""What the cache says to a request, and the counters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pkgproxy.filters import Rule
from pkgproxy.http1.client import Interim
from pkgproxy.http1.response import Response
from pkgproxy.http1.upload import RequestSource
from pkgproxy.message.body import Body
from pkgproxy.message.heads import CacheStatus, Representation, RequestHead
from pkgproxy.message.target import Target


@dataclass(slots=True)
class Asked:
    """A request as the cache sees it. ``body`` is None if it has none."""

    head: RequestHead
    target: Target
    rule: Rule
    body: RequestSource | None = None
    interim: Interim | None = None


@dataclass(slots=True)
class Kept:
    """An answer from a body that is stored or being stored; to be released once."""

    body: Body
    representation: Representation
    status: CacheStatus

    def give_back(self) -> None:
        """It will not be sent."""
        self.body.release()


def _nothing() -> None:
    pass


@dataclass(slots=True)
class Relayed:
    """An upstream's own answer. ``over`` is to be called when it has been passed on."""

    response: Response
    status: CacheStatus
    over: Callable[[], None] = _nothing

    def give_back(self) -> None:
        """It will not be sent."""
        self.response.stopProducing()
        self.over()


Answer = Kept | Relayed


@dataclass(slots=True)
class Counters:
    """Plain numbers since the start."""

    hits: int = 0  # answered from disk without asking
    misses: int = 0  # asked, as it was not there
    revalidated: int = 0  # asked, and the origin said that the stored one is good
    stale: int = 0  # served though the origin could not vouch for it
    collapsed: int = 0  # joined what another client had asked for
    bypassed: int = 0  # not for the cache
    errors: int = 0  # requests that we could not answer
    cache_bytes: int = 0  # body bytes to clients that were not fetched for them
    down_bytes: int = 0  # body bytes from upstream

    def received(self, count: int) -> None:
        """Body bytes came from upstream."""
        self.down_bytes += count
