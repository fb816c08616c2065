"""Connecting to origins: whose fault it was, and in time."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import (
    ConnectingCancelledError,
    ConnectionRefusedError as Refused,
    DNSLookupError,
    NoRouteError,
    TimeoutError as ConnectTimeout,
)
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import Clock
from zope.interface import implementer

from pkgproxy.message.errors import UpstreamError, UpstreamTimeout
from pkgproxy.message.target import Target, parse_target
from pkgproxy.upstream import Upstream

URL = parse_target(b"http://origin.example/x")


@implementer(IStreamClientEndpoint)
class Endpoint:
    """Connects when and as the test says."""

    def __init__(self) -> None:
        self.waiting: list[Deferred[Any]] = []

    def connect(self, factory: Any) -> Deferred[Any]:
        """As HostnameEndpoint does, cancelling is an error of its own."""
        waiting: Deferred[Any] = Deferred(lambda d: d.errback(ConnectingCancelledError("x")))
        self.waiting.append(waiting)
        return waiting


class Asking:
    """A fetch, and what came of it."""

    def __init__(self, target: Target = URL) -> None:
        self.clock, self.endpoint = Clock(), Endpoint()
        upstream = Upstream(self.clock, lambda _: self.endpoint, lambda _: None)
        self.results: list[Any] = []
        self.fetch = Deferred.fromCoroutine(upstream.fetch(b"GET", target, []))
        self.fetch.addCallbacks(self.results.append, lambda f: self.results.append(f.value))


def test_no_connection_in_time() -> None:
    """Ten seconds to connect, then 504."""
    asking = Asking()
    asking.clock.advance(9.9)
    assert asking.results == []
    asking.clock.advance(0.2)
    assert type(asking.results[0]) is UpstreamTimeout
    assert str(asking.results[0]) == "origin.example did not connect within 10 seconds."


def test_cancelled_while_connecting() -> None:
    """Nobody waits any more: that is no fault of the origin's."""
    asking = Asking()
    asking.fetch.cancel()
    assert type(asking.results[0]) is CancelledError
    assert asking.clock.getDelayedCalls() == []


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (Refused(osError=111), "Cannot connect to origin.example: Connection refused."),
        (NoRouteError(osError=113), "Cannot connect to origin.example: No route to host."),
        (DNSLookupError("no results"), "origin.example has no address: "),
        (ConnectTimeout(), "origin.example did not connect within 10 seconds."),
        (ValueError("invalid hostname"), "origin.example is not a valid host name: "),
    ],
)
def test_sentences(error: Exception, says: str) -> None:
    """The sentence names host and cause."""
    asking = Asking()
    asking.endpoint.waiting[0].errback(error)
    assert isinstance(asking.results[0], UpstreamError)
    assert str(asking.results[0]).startswith(says)
    assert asking.clock.getDelayedCalls() == []
