"""kill -9 at any moment, and a restart: nothing partial is ever served."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.threads import deferToThread

from tests.client import Broken, connect
from tests.origin import Origin, digest
from tests.process import Process, start

DEB = "/pool/big_1.0_all.deb"


async def started(tmp_path: Path) -> Process:
    """A process that listens, with the same cache each time."""
    process = start(tmp_path, "-r", "cache")
    await deferToThread(process.line, "Listening at")
    return process


@pytest.mark.parametrize("chunked", [False, True])
@pytest_twisted.ensureDeferred
async def test_kill_in_the_middle(
    the_reactor: Any, tmp_path: Path, origin: Origin, chunked: bool
) -> None:
    """Killed in the middle of a download; after the restart the body is right, by
    resumption where the origin gave validators and a length.
    """
    file = origin.file(DEB, 3_000_000, etag='"one"', chunked=chunked, hold_at=1_000_000)
    process = await started(tmp_path)
    client = await connect(the_reactor, process.port)
    client.ask("GET", origin.url(DEB))
    await client.head()
    await client.read(900_000)
    await deferToThread(process.stop, signal.SIGKILL)
    with pytest.raises(Broken):
        await client.read(3_000_000)
    client.close()
    file.hold_at = None
    process = await started(tmp_path)
    try:
        for cache_status in ("fwd=uri-miss; ", "hit"):
            client = await connect(the_reactor, process.port)
            client.ask("GET", origin.url(DEB))
            reply = await client.reply()
            client.close()
            assert digest(reply.body) == digest(file.body)
            assert reply.cache_status.startswith(cache_status)
    finally:
        await deferToThread(process.stop)
    resumed = origin.requests[1]["Range"]
    assert resumed == "" if chunked else resumed.startswith("bytes=")
    assert len(origin.requests) == 2


@pytest_twisted.ensureDeferred
async def test_kill_at_many_moments(the_reactor: Any, tmp_path: Path, origin: Origin) -> None:
    """Ten times: some more bytes, kill -9, restart. In the end the body is right."""
    file = origin.file(DEB, 1_000_000, hold_at=50_000)
    for number in range(10):
        process = await started(tmp_path)
        client = await connect(the_reactor, process.port)
        client.ask("GET", origin.url(DEB))
        await client.head()
        await client.read((number + 1) * 50_000)
        await deferToThread(process.stop, signal.SIGKILL)
        client.close()
        names = [path.name for path in (tmp_path / "cache").rglob("*.deb")]
        assert names == []
    file.hold_at = None
    process = await started(tmp_path)
    client = await connect(the_reactor, process.port)
    client.ask("GET", origin.url(DEB))
    reply = await client.reply()
    client.close()
    await deferToThread(process.stop)
    assert digest(reply.body) == digest(file.body)
    assert origin.requests[-1]["Range"] == f"bytes={10 * 50_000}-"
