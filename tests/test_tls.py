"""A TLS listener: the same answers, by read and write in place of sendfile."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_twisted
from OpenSSL import SSL
from twisted.internet.endpoints import SSL4ClientEndpoint, connectProtocol
from twisted.internet.ssl import ClientContextFactory

from tests.certificates import make_pair
from tests.client import Conversation
from tests.origin import Origin, digest
from tests.running import Running

DEB = "/pool/hello_1.0_all.deb"
NOTES = "/notes"
MIB = 1024 * 1024


class Trusting(ClientContextFactory):
    """A client that checks nothing: the test knows whom it talks to."""

    method = SSL.TLS_CLIENT_METHOD


class Secure(Running):
    """A proxy whose clients speak TLS."""

    async def connect(self) -> Conversation:
        endpoint = SSL4ClientEndpoint(self._reactor, "127.0.0.1", self.port, Trusting())
        conversation: Conversation = await connectProtocol(endpoint, Conversation())
        self._conversations.append(conversation)
        return conversation


@pytest_twisted.async_yield_fixture()
async def secure(the_reactor: Any, tmp_path: Path) -> AsyncIterator[Secure]:
    """It listens at an ssl endpoint."""
    certificate, key = make_pair(tmp_path)
    address = f"ssl:0:interface=127.0.0.1:certKey={certificate}:privateKey={key}"
    running = Secure(the_reactor, ["-r", str(tmp_path / "cache"), "-a", address])
    running.start()
    yield running
    await running.stop()


@pytest_twisted.ensureDeferred
async def test_miss_hit_range(origin: Origin, secure: Secure) -> None:
    """Whole bodies, ranges and several requests on one connection."""
    file = origin.file(DEB, 3 * MIB)
    for cache_status in ("fwd=uri-miss; fwd-status=200; stored", "hit"):
        reply = await secure.get(origin.url(DEB))
        assert (digest(reply.body), reply.cache_status) == (digest(file.body), cache_status)
    client = await secure.connect()
    for start in (0, 100, MIB):
        client.ask("GET", origin.url(DEB), f"Range: bytes={start}-{start + 99}")
        assert (await client.reply()).body == file.body[start : start + 100]


@pytest_twisted.ensureDeferred
async def test_refusal_while_the_client_sends(secure: Secure) -> None:
    """An early answer is there before the connection ends."""
    client = await secure.connect()
    client.ask("POST", "http://127.0.0.1:1/", "Content-Length: 100000")
    assert (await client.reply()).status == 502
    await client.ended()
    client = await secure.connect()
    client.send(b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: h\r\n\r\n")
    assert (await client.reply()).status == 403
    await client.ended()


@pytest_twisted.ensureDeferred
async def test_relay_waits_for_the_client(origin: Origin, secure: Secure) -> None:
    """What a client does not read is not read from upstream either."""
    size = 64 * MIB
    file = origin.file(NOTES, headers=["Cache-Control: no-store"])
    origin.file("/first")
    await secure.get(origin.url("/first"))
    file.body = b"y" * size
    client = await secure.connect()
    client.ask("GET", origin.url(NOTES))
    await client.until(b"\r\n\r\n")
    client.pause()
    assert await secure.unsent(origin.connections[0].transport) > size // 2
    client.resume()
    assert len(await client.read(size)) == size
