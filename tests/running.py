"""A proxy in this process, made from a command line as twistd makes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pkgproxy.tap import Options, ProxyService
from tests.client import Conversation, Reply, connect


class Running:
    """A started service, and requests to it."""

    def __init__(self, reactor: Any, arguments: list[str]) -> None:
        self._reactor = reactor
        self.options = Options()
        self.options.parseOptions(arguments)
        self.root: Path = self.options["root"]
        self.service = ProxyService(self.options, reactor)
        self._conversations: list[Conversation] = []

    def start(self) -> None:
        """Listen."""
        self.service.privilegedStartService()
        self.service.startService()

    async def stop(self) -> None:
        """End everything that the test began."""
        for conversation in self._conversations:
            conversation.close()
        await self.service.stopService()

    @property
    def port(self) -> int:
        """The port that was bound."""
        port: int = self.service._ports[0].getHost().port  # type: ignore[attr-defined]
        return port

    async def connect(self) -> Conversation:
        """A new connection to the proxy."""
        conversation = await connect(self._reactor, self.port)
        self._conversations.append(conversation)
        return conversation

    async def fetch(
        self, method: str, url: str, *headers: str, body: bytes = b"", version: str = "1.1"
    ) -> Reply:
        """One request over a connection of its own, and its whole answer."""
        conversation = await self.connect()
        conversation.ask(method, url, *headers, body=body, version=version)
        reply = await conversation.reply(method)
        conversation.close()
        return reply

    async def get(self, url: str, *headers: str) -> Reply:
        """GET."""
        return await self.fetch("GET", url, *headers)

    async def counters(self) -> dict[str, int]:
        """What /debug/vars says."""
        reply = await self.get("/debug/vars")
        counters: dict[str, int] = json.loads(reply.body)
        return counters

    async def in_progress(self, count: int) -> None:
        """Wait until just so many requests are being answered; each look is a request too."""
        for _ in range(5000):
            if (await self.counters())["inProgress"] == count + 1:
                return
        raise AssertionError(f"never {count} in progress: {await self.counters()}")

    async def unsent(self, transport: Any) -> int:
        """How much waits in the memory of a transport that this test feeds, when that has
        come to rest.
        """
        before, quiet = -1, 0
        while quiet < 30:
            now = len(transport.dataBuffer) - transport.offset + transport._tempDataLen
            quiet = quiet + 1 if now == before else 0
            before = now
            await self.counters()
        return before

    def stored(self) -> list[str]:
        """The files that anybody may be served, below the root."""
        files = (path for path in self.root.rglob("*") if path.is_file())
        names = (str(path.relative_to(self.root)) for path in files)
        return sorted(name for name in names if not name.startswith(".pkgproxy"))

    def partials(self) -> list[Path]:
        """The files that are not whole yet."""
        return sorted((self.root / ".pkgproxy" / "partial").iterdir())
