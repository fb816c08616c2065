"""Redirects, and origins that speak https."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted

from tests.certificates import make_authority
from tests.origin import Origin, Request
from tests.running import Running

DEB = "/pool/hello_1.0_all.deb"
NOTES = "/notes"
INDEX = "/dists/stable/InRelease"


@pytest_twisted.async_yield_fixture()
async def secure(
    the_reactor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Origin]:
    """An https origin whose authority the proxy trusts."""
    authority, tls = make_authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    origin = Origin(the_reactor, tls)
    await origin.start()
    yield origin
    await origin.stop()


def to(location: str, status: str = "302 Found") -> Any:
    """A script that redirects."""

    def script(request: Request) -> None:
        request.answer(status, f"Location: {location}", body=b"over there\n")

    return script


@pytest.mark.parametrize("status", ["301 A", "302 B", "303 C", "307 D", "308 E"])
@pytest_twisted.ensureDeferred
async def test_followed_for_package_names(origin: Origin, proxy: Running, status: str) -> None:
    """A mirror redirector's answer is followed, and the body kept under the asked URL."""
    file = origin.file("/elsewhere/x")
    origin.scripts[DEB] = to("/elsewhere/x", status)
    for cache_status in ("fwd=uri-miss; fwd-status=200; stored", "hit"):
        reply = await proxy.get(origin.url(DEB))
        assert (reply.status, reply.body, reply.cache_status) == (200, file.body, cache_status)
    assert proxy.stored() == [f"127.0.0.1:{origin.number}{DEB}"]
    assert len(origin.connections) == 1
    assert (await proxy.fetch("HEAD", origin.url(DEB), "Cache-Control: no-cache")).status == 200


@pytest.mark.parametrize("path", [NOTES, INDEX])
@pytest_twisted.ensureDeferred
async def test_passed_on_otherwise(origin: Origin, proxy: Running, path: str) -> None:
    """A page's relative links depend on where it was found: the client follows by itself."""
    origin.scripts[path] = to("/elsewhere/x")
    reply = await proxy.get(origin.url(path))
    assert (reply.status, reply["Location"]) == (302, "/elsewhere/x")
    assert proxy.stored() == []


@pytest_twisted.ensureDeferred
async def test_too_many(origin: Origin, proxy: Running) -> None:
    """After ten hops: 502 with a sentence."""
    origin.scripts[DEB] = to(DEB)
    reply = await proxy.get(origin.url(DEB))
    assert reply.status == 502
    assert b"redirects more than 10 times" in reply.body
    assert len(origin.requests) == 11


@pytest.mark.parametrize("header", ["Authorization: Basic eDp5", "Cookie: a=b"])
@pytest_twisted.ensureDeferred
async def test_credentials_stay_with_their_host(
    origin: Origin, proxy: Running, header: str
) -> None:
    """What a client says to one host is not told to the one it redirects to."""
    other = origin.url("/elsewhere/x").replace("127.0.0.1", "localhost")
    origin.scripts[DEB] = to(other)
    assert (await proxy.get(origin.url(DEB), header)).status == 302
    assert origin.asked("/elsewhere/x") == []


@pytest.mark.parametrize("location", ["ftp://e.example/x", "http://a:b@e.example/", "http://[::x/"])
@pytest_twisted.ensureDeferred
async def test_redirect_to_nowhere_is_passed_on(
    origin: Origin, proxy: Running, location: str
) -> None:
    """What we would not open is the client's to judge."""
    origin.scripts[DEB] = to(location)
    assert (await proxy.get(origin.url(DEB)))["Location"] == location


@pytest.mark.parametrize("path", [NOTES, INDEX, DEB])
@pytest_twisted.ensureDeferred
async def test_upgrade_to_https_is_followed(
    origin: Origin, secure: Origin, proxy: Running, path: str
) -> None:
    """The same URL by https is followed for every class, so plain clients get it cached."""
    file = secure.file(path, 150_000)
    origin.scripts[path] = to(secure.url(path))
    plain = origin.url(path).replace("127.0.0.1", "localhost")
    reply = await proxy.get(plain)
    assert (reply.status, reply.body) == (200, file.body)
    assert proxy.stored()[0].startswith(f"localhost:{origin.number}/")
    await secure.stop()
    if path != INDEX:
        assert (await proxy.get(plain)).cache_status == "hit"


@pytest_twisted.ensureDeferred
async def test_upgrade_with_another_query_is_not_an_upgrade(
    origin: Origin, secure: Origin, proxy: Running
) -> None:
    """Same host, path and query, or the client decides."""
    origin.scripts[NOTES] = to(secure.url(NOTES + "?login"))
    reply = await proxy.get(origin.url(NOTES).replace("127.0.0.1", "localhost"))
    assert reply.status == 302


@pytest_twisted.ensureDeferred
async def test_https_url(secure: Origin, proxy: Running) -> None:
    """An https URL through a plain proxy request is fetched with checks, and has its own key."""
    file = secure.file(DEB, 400_000)
    for cache_status in ("fwd=uri-miss; fwd-status=200; stored", "hit"):
        reply = await proxy.get(secure.url(DEB))
        assert (reply.body, reply.cache_status) == (file.body, cache_status)
    assert proxy.stored() == [f"https+localhost:{secure.number}{DEB}"]


@pytest_twisted.ensureDeferred
async def test_untrusted_certificate(
    secure: Origin, proxy: Running, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A certificate that nobody vouches for: 502 that says so."""
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.setenv("SSL_CERT_FILE", str(make_authority(other)[0]))
    secure.file(DEB)
    reply = await proxy.get(secure.url(DEB))
    assert reply.status == 502
    assert b"TLS handshake: certificate verify failed" in reply.body


@pytest_twisted.ensureDeferred
async def test_plain_server_behind_https(origin: Origin, proxy: Running) -> None:
    """No TLS at the other end: 502 that says so."""
    reply = await proxy.get(origin.url(DEB).replace("http:", "https:"))
    assert reply.status == 502
    assert b"TLS" in reply.body
