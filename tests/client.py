"""A client that hides nothing: it sends what it is told and tells what came.

Written apart from the project's own parser, so that both would have to be wrong alike.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer


class Broken(Exception):
    """The connection ended before the answer did."""


@dataclass
class Reply:
    """An answer, whole."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes = field(default=b"", repr=False)

    def __getitem__(self, name: str) -> str:
        return ", ".join(v for n, v in self.headers if n.lower() == name.lower())

    def __contains__(self, name: str) -> bool:
        return any(n.lower() == name.lower() for n, _ in self.headers)

    @property
    def cache_status(self) -> str:
        """What the proxy says it did."""
        return self["Cache-Status"].removeprefix("pkgproxy; ")


@implementer(IHalfCloseableProtocol)
class Conversation(Protocol):
    """One connection. Everything that comes is kept until it is asked for."""

    transport: Any

    def __init__(self) -> None:
        self.data = bytearray()
        self.input_over = False
        self.lost = False
        self._waiting: list[Deferred[None]] = []

    def dataReceived(self, data: bytes) -> None:
        self.data += data
        self._wake()

    def readConnectionLost(self) -> None:
        self.input_over = True
        self._wake()

    def writeConnectionLost(self) -> None:
        pass

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.input_over = self.lost = True
        self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.callback(None)

    async def more(self) -> None:
        """Wait for anything to happen."""
        if self.input_over:
            raise Broken(f"ended after {bytes(self.data[:200])!r}")
        await self.anything()

    async def anything(self) -> None:
        """Wait for data or the end."""
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        await waiting

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.transport.write(data)

    def ask(
        self, method: str, url: str, *headers: str, body: bytes = b"", version: str = "1.1"
    ) -> None:
        """Send a request."""
        lines = [f"{method} {url} HTTP/{version}", "Host: irrelevant.example", *headers]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    async def until(self, mark: bytes) -> bytes:
        """Everything up to and with a mark."""
        while mark not in self.data:
            await self.more()
        end = self.data.index(mark) + len(mark)
        return self._take(end)

    async def read(self, count: int) -> bytes:
        """Just so many bytes."""
        while len(self.data) < count:
            await self.more()
        return self._take(count)

    def _take(self, count: int) -> bytes:
        taken = bytes(self.data[:count])
        del self.data[:count]
        return taken

    async def head(self) -> Reply:
        """The head of an answer."""
        first, *lines = (await self.until(b"\r\n\r\n"))[:-4].decode("latin-1").split("\r\n")
        headers = [(line.partition(":")[0], line.partition(":")[2].strip()) for line in lines]
        return Reply(int(first.split(" ")[1]), headers)

    async def reply(self, method: str = "GET") -> Reply:
        """The head and the whole body of an answer."""
        reply = await self.head()
        if method == "HEAD" or reply.status in (204, 304) or reply.status < 200:
            return reply
        if reply["Transfer-Encoding"] == "chunked":
            reply.body = await self._chunked()
        elif "Content-Length" in reply:
            reply.body = await self.read(int(reply["Content-Length"]))
        else:
            reply.body = await self.rest()
        return reply

    async def _chunked(self) -> bytes:
        body = b""
        while size := int(await self.until(b"\r\n"), 16):
            body += (await self.read(size + 2))[:-2]
        assert await self.read(2) == b"\r\n"
        return body

    async def rest(self) -> bytes:
        """Everything until the other side ends."""
        while not self.input_over:
            await self.more()
        return self._take(len(self.data))

    async def ended(self) -> bytes:
        """Wait for the end of the connection; what was left unread."""
        return await self.rest()

    def half_close(self) -> None:
        """Send no more."""
        self.transport.loseWriteConnection()

    def pause(self) -> None:
        """Read nothing for now."""
        self.transport.pauseProducing()

    def resume(self) -> None:
        """Read on."""
        self.transport.resumeProducing()

    def close(self) -> None:
        """Leave."""
        if not self.lost:
            self.transport.abortConnection()


async def connect(reactor: Any, port: int) -> Conversation:
    """A connection to a loopback port."""
    endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port)
    conversation: Conversation = await connectProtocol(endpoint, Conversation())
    return conversation
