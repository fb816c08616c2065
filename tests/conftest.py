"""What every test gets: a guard against unseen errors, an origin, a running proxy."""

from __future__ import annotations

import gc
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.task import deferLater
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from zope.interface import implementer

from tests.origin import Origin
from tests.running import Running


def pytest_collection_finish() -> None:
    """What is imported by now is no garbage: each test's collection need not look at it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[LogEvent]]:
    """Failures logged during the test, which fail it; a test takes out what it expects.

    Delayed calls that a test leaves behind fail it too: pytest-twisted sees neither.
    """
    from twisted.internet import reactor as global_reactor

    reactor: Any = global_reactor
    failures: list[LogEvent] = []

    @implementer(ILogObserver)
    def observe(event: LogEvent) -> None:
        if "log_failure" in event:
            failures.append(event)

    before = set(reactor.getDelayedCalls())
    globalLogPublisher.addObserver(observe)
    yield failures
    for _ in range(3):
        # Connections that are closed come to their end in the next turns.
        pytest_twisted.blockon(deferLater(reactor, 0, lambda: None))
    gc.collect()
    globalLogPublisher.removeObserver(observe)
    assert [str(event["log_failure"]) for event in failures] == []
    left = set(reactor.getDelayedCalls()) - before
    assert [str(call) for call in left if call.active()] == []


@pytest.fixture
def the_reactor() -> Any:
    """The reactor, imported when it is needed and not before."""
    from twisted.internet import reactor

    return reactor


@pytest_twisted.async_yield_fixture()
async def origin(the_reactor: Any) -> AsyncIterator[Origin]:
    """An origin that does what the test says."""
    origin = Origin(the_reactor)
    await origin.start()
    yield origin
    await origin.stop()


@pytest_twisted.async_yield_fixture()
async def proxy(the_reactor: Any, tmp_path: Path) -> AsyncIterator[Running]:
    """A proxy on loopback with an empty cache."""
    running = Running(the_reactor, ["-r", str(tmp_path / "cache"), "-a", "127.0.0.1:0"])
    running.start()
    yield running
    await running.stop()


def descriptors() -> int:
    """How many files this process has open."""
    return len(os.listdir("/proc/self/fd"))
