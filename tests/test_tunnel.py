"""CONNECT."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory

from tests.client import Conversation
from tests.origin import some_bytes
from tests.running import Running


class Far:
    """The other end of tunnels."""

    def __init__(self) -> None:
        self.port = 0
        self.all: list[Conversation] = []
        self._accepted: list[Conversation] = []

    def make(self) -> Conversation:
        """A connection that somebody opens to here."""
        conversation = Conversation()
        self._accepted.append(conversation)
        self.all.append(conversation)
        return conversation

    async def accepted(self, proxy: Running) -> Conversation:
        """The next connection."""
        while not (self._accepted and self._accepted[0].connected):
            await proxy.counters()
        return self._accepted.pop(0)


@pytest_twisted.async_yield_fixture()
async def far(the_reactor: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Far]:
    """A server at a port that tunnels may lead to."""
    far = Far()
    factory: Factory[Any] = Factory.forProtocol(far.make)
    factory.noisy = False
    port = await TCP4ServerEndpoint(the_reactor, 0, interface="127.0.0.1").listen(factory)
    far.port = port.getHost().port
    monkeypatch.setattr("pkgproxy.access.CONNECT_PORTS", frozenset({far.port}))
    yield far
    for conversation in far.all:
        conversation.close()
    await port.stopListening()


async def tunnel(proxy: Running, far: Far, early: bytes = b"") -> tuple[Conversation, Conversation]:
    """Both ends of a new tunnel."""
    client = await proxy.connect()
    client.send(f"CONNECT 127.0.0.1:{far.port} HTTP/1.1\r\nHost: h\r\n\r\n".encode() + early)
    assert (await client.head()).status == 200
    return client, await far.accepted(proxy)


@pytest_twisted.ensureDeferred
async def test_both_ways(proxy: Running, far: Far) -> None:
    """Bytes pass both ways, those sent with the request too."""
    client, server = await tunnel(proxy, far, b"early ")
    client.send(b"late")
    assert await server.read(10) == b"early late"
    server.send(b"answer")
    assert await client.read(6) == b"answer"
    server.close()
    await client.ended()


@pytest.mark.parametrize("who", ["client", "server"])
@pytest_twisted.ensureDeferred
async def test_half_close(proxy: Running, far: Far, who: str) -> None:
    """One side's end of sending is passed on; the other direction goes on until its own."""
    client, server = await tunnel(proxy, far)
    first, second = (client, server) if who == "client" else (server, client)
    first.send(b"last words")
    first.half_close()
    assert await second.rest() == b"last words"
    body = some_bytes(3_000_000)
    second.send(body)
    second.half_close()
    assert await first.rest() == body
    assert first.input_over
    await proxy.in_progress(0)


@pytest_twisted.ensureDeferred
async def test_slow_side_holds_the_other_back(proxy: Running, far: Far) -> None:
    """Memory stays constant: what one side does not read the other cannot send."""
    client, server = await tunnel(proxy, far)
    client.pause()
    size = 32 * 1024 * 1024
    server.send(b"z" * size)
    assert await proxy.unsent(server.transport) > size // 2
    client.resume()
    assert len(await client.read(size)) == size
    client.close()
    await server.ended()


@pytest_twisted.ensureDeferred
async def test_nobody_there(proxy: Running, far: Far, monkeypatch: pytest.MonkeyPatch) -> None:
    """502 with a sentence, and a proper close."""
    monkeypatch.setattr("pkgproxy.access.CONNECT_PORTS", frozenset({1}))
    client = await proxy.connect()
    client.send(b"CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: h\r\n\r\nearly")
    reply = await client.reply()
    assert (reply.status, reply["Connection"]) == (502, "close")
    assert b"Cannot connect to 127.0.0.1:1" in reply.body
    client.half_close()
    await client.ended()


@pytest_twisted.ensureDeferred
async def test_client_leaves_while_it_connects(proxy: Running, far: Far) -> None:
    """Nothing is left of a tunnel whose client did not wait."""
    client = await proxy.connect()
    client.send(f"CONNECT 127.0.0.1:{far.port} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
    client.close()
    await client.ended()
    await proxy.in_progress(0)
