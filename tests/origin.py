"""An origin that keeps its requests and answers when and as the test says."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import SSL4ServerEndpoint, TCP4ServerEndpoint
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory

from tests.client import Conversation

LONG_AGO = 1_600_000_000.0


def some_bytes(size: int, seed: int = 0) -> bytes:
    """Bytes that look like a package: no two places alike."""
    return random.Random(seed).randbytes(size)


def digest(data: bytes) -> str:
    """What bytes are compared by."""
    return hashlib.sha256(data).hexdigest()


@dataclass
class File:
    """Something to serve, with the validators it has."""

    body: bytes = field(repr=False)
    etag: str | None = None
    modified: float | None = LONG_AGO
    headers: list[str] = field(default_factory=list)
    chunked: bool = False
    #: Send so many bytes, then wait for release.
    hold_at: int | None = None
    #: Send so many bytes, then break the connection.
    cut_at: int | None = None
    ranges: bool = True

    def validators(self) -> list[str]:
        lines = [f"ETag: {self.etag}"] if self.etag else []
        if self.modified is not None:
            lines.append(f"Last-Modified: {formatdate(self.modified, usegmt=True)}")
        return lines


class Request:
    """A request that the origin got."""

    def __init__(self, connection: _Serving, head: bytes, body: bytes) -> None:
        first, *lines = head[:-4].decode("latin-1").split("\r\n")
        self.method, self.target, self.version = first.split(" ")
        self.headers = [(li.partition(":")[0], li.partition(":")[2].strip()) for li in lines]
        self.body = body
        self.connection = connection

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.target}>"

    def __getitem__(self, name: str) -> str:
        return ", ".join(v for n, v in self.headers if n.lower() == name.lower())

    def __contains__(self, name: str) -> bool:
        return any(n.lower() == name.lower() for n, _ in self.headers)

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.connection.send(data)

    def answer(self, status: str, *headers: str, body: bytes = b"") -> None:
        """Send a whole answer."""
        self.head(status, *headers, f"Content-Length: {len(body)}")
        if self.method != "HEAD":
            self.send(body)

    def head(self, status: str, *headers: str) -> None:
        """Send a head."""
        self.send("\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode("latin-1"))

    def close(self) -> None:
        """End the connection in order."""
        self.connection.transport.loseConnection()

    def abort(self) -> None:
        """Break the connection."""
        self.connection.transport.abortConnection()


class _Serving(Conversation):
    """A connection from the proxy."""

    def __init__(self, origin: Origin) -> None:
        super().__init__()
        self._origin = origin

    def connectionMade(self) -> None:
        self._origin.connections.append(self)
        Deferred.fromCoroutine(self._serve()).addErrback(self._origin.note)

    async def _serve(self) -> None:
        while not self.input_over:
            while b"\r\n\r\n" not in self.data:
                if self.input_over:
                    self.transport.loseConnection()
                    return
                await self.anything()
                if self.data[:1] == b"\x16":  # a TLS handshake
                    self.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                    self.transport.loseConnection()
                    return
            head = await self.until(b"\r\n\r\n")
            request = Request(self, head, b"")
            if "Content-Length" in request and self._origin.read_bodies:
                request.body = await self.read(int(request["Content-Length"]))
            elif request["Transfer-Encoding"] == "chunked" and self._origin.read_bodies:
                request.body = await self._chunked()
            self._origin.got(request)


class Origin:
    """A server on loopback. ``files`` are served by path, ``scripts`` do as they like."""

    def __init__(self, reactor: Any, tls: Any = None) -> None:
        self._reactor = reactor
        self._tls = tls
        self.files: dict[str, File] = {}
        self.scripts: dict[str, Callable[[Request], None]] = {}
        self.requests: list[Request] = []
        self.connections: list[_Serving] = []
        self.read_bodies = True
        self._waiting: list[Deferred[Request]] = []
        self._unseen: list[Request] = []
        self._held: list[tuple[Request, bytes]] = []
        self._port: IListeningPort | None = None
        self.number = 0

    async def start(self) -> None:
        """Listen; the second time at the same port."""
        endpoint: Any = TCP4ServerEndpoint(self._reactor, self.number, interface="127.0.0.1")
        if self._tls is not None:
            endpoint = SSL4ServerEndpoint(self._reactor, 0, self._tls, interface="127.0.0.1")
        factory: Factory[Any] = Factory.forProtocol(lambda: _Serving(self))
        factory.noisy = False
        port = await endpoint.listen(factory)
        self._port, self.number = port, port.getHost().port

    async def stop(self) -> None:
        """Refuse connections from now on, and end those there are."""
        port, self._port = self._port, None
        for connection in self.connections:
            connection.close()
        self.connections = []
        if port is not None:
            await maybeDeferred(port.stopListening)

    def url(self, path: str) -> str:
        """The absolute URL of a path here."""
        if self._tls is not None:
            return f"https://localhost:{self.number}{path}"
        return f"http://127.0.0.1:{self.number}{path}"

    def file(self, path: str, size: int = 1000, **attributes: Any) -> File:
        """Serve random bytes at a path."""
        file = self.files[path] = File(some_bytes(size, len(path)), **attributes)
        return file

    def note(self, failure: Any) -> None:
        """A connection that broke is what many tests are about."""

    def got(self, request: Request) -> None:
        """Record, answer, tell who waits."""
        self.requests.append(request)
        path = request.target.partition("?")[0]
        if path in self.scripts:
            self.scripts[path](request)
        elif path in self.files:
            self._serve(request, self.files[path])
        else:
            request.answer("404 Not Found", "Content-Type: text/plain", body=b"no such file\n")
        if self._waiting:
            self._waiting.pop(0).callback(request)
        else:
            self._unseen.append(request)

    async def next(self) -> Request:
        """The next request that no call has returned yet."""
        if self._unseen:
            return self._unseen.pop(0)
        waiting: Deferred[Request] = Deferred()
        self._waiting.append(waiting)
        return await waiting

    def asked(self, path: str, method: str = "GET") -> list[Request]:
        """The requests for one path."""
        return [r for r in self.requests if r.target == path and r.method == method]

    def _serve(self, request: Request, file: File) -> None:
        common = [*file.validators(), *file.headers]
        if file.etag and request["If-None-Match"] == file.etag:
            request.head("304 Not Modified", *common)
            return
        modified = formatdate(file.modified, usegmt=True) if file.modified is not None else None
        if "If-None-Match" not in request and modified == (request["If-Modified-Since"] or 0):
            request.head("304 Not Modified", *common)
            return
        body, status = file.body, "200 OK"
        start = self._range_start(request, file)
        if start is not None:
            common.append(f"Content-Range: bytes {start}-{len(body) - 1}/{len(body)}")
            body, status = body[start:], "206 Partial Content"
        self._send(request, file, status, common, body)

    def _range_start(self, request: Request, file: File) -> int | None:
        condition = request["If-Range"]
        good = not condition or condition in " ".join(file.validators())
        if not file.ranges or "Range" not in request or not good:
            return None
        return int(request["Range"].removeprefix("bytes=").partition("-")[0])

    def _send(
        self, request: Request, file: File, status: str, headers: list[str], body: bytes
    ) -> None:
        if file.chunked:
            request.head(status, *headers, "Transfer-Encoding: chunked")
            body = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            body += b"0\r\n\r\n"
        else:
            request.head(status, *headers, f"Content-Length: {len(body)}")
        if request.method == "HEAD":
            return
        if file.cut_at is not None:
            request.send(body[: file.cut_at])
            request.close()
        elif file.hold_at is not None:
            request.send(body[: file.hold_at])
            self._held.append((request, body[file.hold_at :]))
        else:
            request.send(body)

    def release(self, count: int | None = None) -> None:
        """Send what was held back, or ``count`` bytes more of each."""
        held, self._held = self._held, []
        for request, rest in held:
            request.send(rest[:count] if count is not None else rest)
            if count is not None:
                self._held.append((request, rest[count:]))
