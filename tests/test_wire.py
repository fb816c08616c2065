"""The wire through the whole proxy: keep-alive, pipelining, fields, bodies, limits, errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted

from tests.client import Broken
from tests.origin import Origin, Request, some_bytes
from tests.running import Running

DEB = "/hello_1.0_all.deb"
NOTES = "/notes"


@pytest.mark.parametrize(
    ("version", "header", "kept"),
    [("1.1", "X: 1", True), ("1.1", "Connection: close", False), ("1.0", "X: 1", False),
     ("1.0", "Connection: keep-alive", True), ("1.0", "Proxy-Connection: keep-alive", True)],
)  # fmt: skip
@pytest_twisted.ensureDeferred
async def test_keep_alive(
    origin: Origin, proxy: Running, version: str, header: str, kept: bool
) -> None:
    """1.1 keeps the connection unless told otherwise, 1.0 only on request; miss and hit."""
    file = origin.file(DEB)
    for _ in range(2):
        client = await proxy.connect()
        client.ask("GET", origin.url(DEB), header, version=version)
        first = await client.reply()
        assert first.body == file.body
        if not kept:
            assert first["Connection"] == "close"
            assert await client.ended() == b""
            continue
        client.ask("GET", origin.url(DEB), version=version)
        assert (await client.reply()).body == file.body
        assert first["Connection"] == ("keep-alive" if version == "1.0" else "")


@pytest_twisted.ensureDeferred
async def test_pipelining(origin: Origin, proxy: Running) -> None:
    """Requests sent at once are answered in their order: hits, misses, errors, own pages."""
    bodies = [origin.file(f"/p{n}_1_all.deb", 1000 + n).body for n in range(10)]
    await proxy.get(origin.url("/p3_1_all.deb"))
    client = await proxy.connect()
    for number in range(10):
        client.ask("GET", origin.url(f"/p{number}_1_all.deb"))
    client.ask("GET", "/nothing")
    client.ask("GET", origin.url("/absent"))
    for body in bodies:
        assert (await client.reply()).body == body
    assert [(await client.reply()).status for _ in range(2)] == [404, 404]


@pytest_twisted.ensureDeferred
async def test_too_much_pipelined(origin: Origin, proxy: Running) -> None:
    """More than 100 requests in one piece: answers for 100, then a proper close."""
    file = origin.file(DEB, 10)
    await proxy.get(origin.url(DEB))
    client = await proxy.connect()
    client.send(f"GET {origin.url(DEB)} HTTP/1.1\r\nHost: h\r\n\r\n".encode() * 150)
    answers = [await client.reply() for _ in range(100)]
    assert {answer.body for answer in answers} == {file.body}
    assert answers[-1]["Connection"] == "close"
    assert await client.ended() == b""


@pytest_twisted.ensureDeferred
async def test_bad_request_behind_a_good_one(origin: Origin, proxy: Running) -> None:
    """What was asked before the nonsense is answered first."""
    file = origin.file(DEB)
    client = await proxy.connect()
    client.ask("GET", origin.url(DEB))
    client.send(b"\x00\x01 nonsense\r\n\r\n")
    assert (await client.reply()).body == file.body
    assert (await client.reply()).status == 400
    await client.ended()


@pytest_twisted.ensureDeferred
async def test_fields_pass_untouched_and_hop_by_hop_do_not(origin: Origin, proxy: Running) -> None:
    """End-to-end fields pass in order, repeated ones too; hop-by-hop ones stay, both ways."""

    def script(request: Request) -> None:
        request.head(
            "200 Fine", "X-B: 1", "Connection: X-Hop", "X-Hop: no", "X-A: 2", "X-B: 3",
            "Keep-Alive: timeout=5", "Proxy-Authenticate: Basic", "Via: 1.0 other",
            "Content-Length: 2",
        )  # fmt: skip
        request.send(b"ok")

    origin.scripts[NOTES] = script
    reply = await proxy.fetch(
        "PUT", origin.url(NOTES), "X-One: 1", "Connection: keep-alive, X-Mine", "X-Mine: no",
        "X-Two: 2", "X-One: 3", "TE: trailers", "Proxy-Authorization: Basic eDp5",
        "Upgrade: h2c", "Via: 1.1 before", body=b"body",
    )  # fmt: skip
    request = origin.requests[0]
    assert [item for item in request.headers if item[0].startswith("X-")] == [
        ("X-One", "1"), ("X-Two", "2"), ("X-One", "3"),
    ]  # fmt: skip
    for name in ("Connection", "X-Mine", "TE", "Proxy-Authorization", "Upgrade"):
        assert name not in request
    assert request["Via"] == "1.1 before, 1.1 pkgproxy"
    assert request["Host"] == f"127.0.0.1:{origin.number}"
    assert [item for item in reply.headers if item[0].startswith("X-")] == [
        ("X-B", "1"), ("X-A", "2"), ("X-B", "3"),
    ]  # fmt: skip
    for name in ("Connection", "Keep-Alive", "Proxy-Authenticate"):
        assert name not in reply
    assert reply["Via"] == "1.0 other, 1.1 pkgproxy"
    assert reply.cache_status == "fwd=bypass; fwd-status=200; detail=method"


@pytest.mark.parametrize("split", [1, 7, 100_000])
@pytest.mark.parametrize("chunked", [False, True])
@pytest_twisted.ensureDeferred
async def test_upload(origin: Origin, proxy: Running, chunked: bool, split: int) -> None:
    """A request's body passes whole, by length or in chunks, and the connection lives on."""
    origin.scripts[NOTES] = lambda request: request.answer("200 OK", body=request.body)
    body = some_bytes(500 if split == 1 else 200_000)
    client = await proxy.connect()
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
    client.ask("POST", origin.url(NOTES), framing)
    for start in range(0, len(body), max(split, 50)):
        piece = body[start : start + max(split, 50)]
        client.send(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
    client.send(b"0\r\nTrailer-Field: x\r\n\r\n" if chunked else b"")
    client.ask("GET", "/debug/vars")
    assert (await client.reply()).body == body
    assert (await client.reply()).status == 200


@pytest_twisted.ensureDeferred
async def test_upload_waits_for_upstream(origin: Origin, proxy: Running) -> None:
    """An origin that does not read stops the client: memory stays constant."""
    origin.read_bodies = False
    client = await proxy.connect()
    origin.scripts[NOTES] = lambda request: request.connection.pause()
    size = 24 * 1024 * 1024
    client.ask("POST", origin.url(NOTES), f"Content-Length: {size}")
    request = await origin.next()
    client.send(b"x" * size)
    assert await proxy.unsent(client.transport) > size // 2
    request.connection.resume()
    await request.connection.read(size)
    request.answer("204 No Content")
    assert (await client.reply()).status == 204


@pytest_twisted.ensureDeferred
async def test_download_waits_for_the_client(origin: Origin, proxy: Running) -> None:
    """A relayed body does not pile up for a client that does not read."""
    size = 64 * 1024 * 1024
    origin.file(NOTES, headers=["Cache-Control: no-store"]).body = b"y" * size
    client = await proxy.connect()
    client.ask("GET", origin.url(NOTES))
    client.pause()
    await origin.next()
    assert await proxy.unsent(origin.connections[0].transport) > size // 2
    client.resume()
    assert len((await client.reply()).body) == size


@pytest_twisted.ensureDeferred
async def test_expect_continue(origin: Origin, proxy: Running) -> None:
    """The body is sent when upstream has said 100."""
    origin.read_bodies = False
    origin.scripts[NOTES] = lambda request: None
    client = await proxy.connect()
    client.ask("POST", origin.url(NOTES), "Expect: 100-continue", "Content-Length: 4")
    request = await origin.next()
    assert request["Expect"] == "100-continue"
    request.head("100 Continue")
    assert (await client.head()).status == 100
    client.send(b"body")
    assert await request.connection.read(4) == b"body"
    request.answer("200 OK", body=b"thanks")
    assert (await client.reply()).body == b"thanks"


@pytest_twisted.ensureDeferred
async def test_final_answer_before_the_body(origin: Origin, proxy: Running) -> None:
    """Upstream refuses before the body came: the client hears it, the connection ends."""
    origin.read_bodies = False
    origin.scripts[NOTES] = lambda request: request.answer("413 Too Large", body=b"no")
    client = await proxy.connect()
    client.ask("POST", origin.url(NOTES), "Expect: 100-continue", "Content-Length: 400000")
    reply = await client.reply()
    assert (reply.status, reply.body, reply["Connection"]) == (413, b"no", "close")
    client.send(b"x" * 400_000)
    assert await client.ended() == b""


@pytest_twisted.ensureDeferred
async def test_upgrade_is_ignored_and_the_body_is_not(origin: Origin, proxy: Running) -> None:
    """A parser that stops at Upgrade must not take the body for the next request."""
    origin.scripts[NOTES] = lambda request: request.answer("200 OK", body=request.body)
    evil = f"GET {origin.url('/evil')} HTTP/1.1\r\nHost: h\r\n\r\n".encode()
    for framing in (f"Content-Length: {len(evil)}", "Transfer-Encoding: chunked",
                    "Content-Length: 0"):  # fmt: skip
        client = await proxy.connect()
        client.ask("POST", origin.url(NOTES), "Connection: Upgrade", "Upgrade: h2c", framing)
        body = b"" if framing.endswith(" 0") else evil
        chunk = b"%x\r\n%b\r\n0\r\n\r\n" % (len(evil), evil)
        client.send(chunk if "chunked" in framing else body)
        client.ask("GET", "/debug/vars")
        assert (await client.reply()).body == body
        assert (await client.reply()).status == 200
    assert origin.asked("/evil") == []


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
@pytest_twisted.ensureDeferred
async def test_chunked_answer_for_each_client(
    origin: Origin, proxy: Running, version: str, method: str
) -> None:
    """Chunks for 1.1; for 1.0 the end of the connection is the end of the body."""
    file = origin.file(NOTES, 100_000, chunked=True)
    reply = await proxy.fetch(method, origin.url(NOTES), version=version)
    assert reply.body == file.body
    assert reply["Transfer-Encoding"] == ("chunked" if version == "1.1" else "")


@pytest_twisted.ensureDeferred
async def test_half_closed_client_gets_its_answer(origin: Origin, proxy: Running) -> None:
    """A client that closes its sending half after the request is still answered."""
    file = origin.file(DEB, 100_000, hold_at=10)
    client = await proxy.connect()
    client.ask("GET", origin.url(DEB))
    client.half_close()
    assert (await client.head()).status == 200
    origin.release()
    assert await client.rest() == file.body


@pytest.mark.parametrize(
    ("request_bytes", "status", "says"),
    [
        (b"GET http://e.example/" + b"x" * 8200 + b" HTTP/1.1\r\nHost: h\r\n\r\n", 414, "8192"),
        (b"GET http://e.example/ HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", 431, "65536"),  # noqa: E501
        (b"GET http://e.example/ HTTP/1.1\r\nHost: h\r\n" + b"X: 1\r\n" * 20_000 + b"\r\n", 431, "65536"),  # noqa: E501
        (b"GET http://e.example/\r\n\r\n", 400, "HTTP/1.1"),
        (b"GET http://e.example/ HTTP/2.0\r\nHost: h\r\n\r\n", 505, "HTTP/1.1"),
        (b"GET http://e.example/ HTTP/1.1\r\n\r\n", 400, "Host"),
        (b"GET http://e.example/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "Host"),
        (b"GET http://e.example/ HTTP/1.1\r\nHost : a\r\n\r\n", 400, "valid"),
        (b"GET http://e.example/ HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n", 400, "valid"),
        (b"NONSENSE\r\n\r\n", 400, "valid"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "valid"),
        (b"GET ftp://e.example/ HTTP/1.1\r\nHost: h\r\n\r\n", 400, "not ftp"),
        (b"GET file:///etc/passwd HTTP/1.1\r\nHost: h\r\n\r\n", 400, "not file"),
        (b"GET gopher://e.example/ HTTP/1.1\r\nHost: h\r\n\r\n", 400, "not gopher"),
        (b"GET http://a:b@e.example/ HTTP/1.1\r\nHost: h\r\n\r\n", 400, "Authorization"),
        (b"GET http://e.example:99999/ HTTP/1.1\r\nHost: h\r\n\r\n", 400, "65535"),
        (b"GET http://e.example:0/ HTTP/1.1\r\nHost: h\r\n\r\n", 400, "65535"),
        (b"GET /debian/x.deb HTTP/1.1\r\nHost: me:1\r\n\r\n", 404, 'Proxy "http://me:1/"'),
        (b"POST http://e.example/ HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501, "chunked"),  # noqa: E501
        (b"POST http://e.example/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "1.0"),
        (b"POST http://e.example/ HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", 400, "valid"),  # noqa: E501
        (b"POST http://e.example/ HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\n", 400, "valid"),
        (b"CONNECT e.example:22 HTTP/1.1\r\nHost: h\r\n\r\n", 403, "443"),
        (b"CONNECT e.example HTTP/1.1\r\nHost: h\r\n\r\n", 400, "port"),
    ],
    ids=lambda value: None if isinstance(value, bytes) else str(value),
)  # fmt: skip
@pytest_twisted.ensureDeferred
async def test_refusals(proxy: Running, request_bytes: bytes, status: int, says: str) -> None:
    """Each fault has its status and a sentence, and does no harm to the next connection."""
    client = await proxy.connect()
    client.send(request_bytes)
    reply = await client.reply()
    assert reply.status == status
    assert says in reply.body.decode()
    assert reply["Cache-Status"].startswith("pkgproxy; ")
    assert (await proxy.get("/debug/vars")).status == 200


@pytest_twisted.ensureDeferred
async def test_refused_connection(origin: Origin, proxy: Running) -> None:
    """502 with a sentence that names host and cause."""
    await origin.stop()
    reply = await proxy.get(origin.url(DEB))
    assert reply.status == 502
    assert reply.body == b"Cannot connect to 127.0.0.1:%d: Connection refused.\n" % origin.number
    assert (await proxy.counters())["errors"] == 1


@pytest.mark.parametrize(
    "answer",
    [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\n12345",
     b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
     b"HTTP/1.1 206 Partial Content\r\nContent-Length: 3\r\n\r\nabc",
     b"HTTP/1.1 304 Not Modified\r\n\r\n",
     b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
     b"HTTP/1.1 103 Early Hints\r\n\r\n" * 50],
)  # fmt: skip
@pytest_twisted.ensureDeferred
async def test_broken_answers(origin: Origin, proxy: Running, answer: bytes) -> None:
    """An answer that is none is a 502 that names the host."""

    def script(request: Request) -> None:
        request.send(answer)
        request.close()

    origin.scripts[DEB] = script
    reply = await proxy.get(origin.url(DEB))
    assert reply.status == 502
    assert reply.body.startswith(b"127.0.0.1")
    assert proxy.stored() == []


@pytest_twisted.ensureDeferred
async def test_connections_to_origins_are_used_again(origin: Origin, proxy: Running) -> None:
    """One connection for requests one after the other; a closed one is replaced quietly."""
    for number in range(3):
        origin.file(f"/{number}_1_all.deb")
        await proxy.get(origin.url(f"/{number}_1_all.deb"))
    await proxy.fetch("HEAD", origin.url("/absent"))
    await proxy.get(origin.url("/absent"))
    assert len(origin.connections) == 1
    origin.connections[0].close()
    assert (await proxy.get(origin.url("/absent"))).status == 404
    assert len(origin.connections) == 2


@pytest_twisted.ensureDeferred
async def test_origin_closes_a_connection_as_it_is_used_again(
    origin: Origin, proxy: Running
) -> None:
    """The race that keep-alive always has: asked anew on a fresh connection, once."""
    file = origin.file(DEB)
    origin.file("/first_1_all.deb")
    await proxy.get(origin.url("/first_1_all.deb"))
    seen: list[Request] = []

    def script(request: Request) -> None:
        seen.append(request)
        if len(seen) == 1:
            request.abort()
        else:
            request.answer("200 OK", body=file.body)

    origin.scripts[DEB] = script
    assert (await proxy.get(origin.url(DEB))).body == file.body
    assert len(seen) == 2


@pytest_twisted.ensureDeferred
async def test_post_is_not_sent_twice(origin: Origin, proxy: Running) -> None:
    """What changes something is never repeated."""
    origin.file(DEB)
    await proxy.get(origin.url(DEB))
    origin.scripts[NOTES] = lambda request: request.abort()
    assert (await proxy.fetch("POST", origin.url(NOTES), body=b"x")).status == 502
    assert len(origin.asked(NOTES, "POST")) == 1


@pytest_twisted.ensureDeferred
async def test_counters(origin: Origin, proxy: Running) -> None:
    """/debug/vars on our own address, in either form; another host's is that host's."""
    origin.file(DEB, 1000)
    for _ in range(3):
        await proxy.get(origin.url(DEB))
    origin.file("/debug/vars").body = b"not ours"
    assert (await proxy.get(origin.url("/debug/vars"))).body == b"not ours"
    reply = await proxy.get(f"http://127.0.0.1:{proxy.port}/debug/vars")
    counters = json.loads(reply.body)
    assert reply["Content-Type"] == "application/json"
    assert counters["statsCacheBytes"] == 2000
    assert counters["statsDownBytes"] == 1008
    assert (counters["hits"], counters["misses"], counters["inProgress"]) == (2, 2, 1)


@pytest_twisted.ensureDeferred
async def test_deny_rule(origin: Origin, the_reactor: Any, tmp_path: Path) -> None:
    """deny answers 403 and names the rule; pass is never stored; a client may be kept out."""
    rules = tmp_path / "filters.txt"
    rules.write_text("# mine\ndeny \\.exe$\n\n/Packages.*\n")
    arguments = ["-r", str(tmp_path / "c"), "-a", "127.0.0.1:0", "-f", str(rules)]
    running = Running(the_reactor, arguments)
    running.start()
    denied = await running.get(origin.url("/setup.exe"))
    assert (denied.status, "(filters.txt:2)" in denied.body.decode()) == (403, True)
    origin.file("/Packages.gz")
    for _ in range(2):
        reply = await running.get(origin.url("/Packages.gz"))
        assert reply.cache_status == "fwd=bypass; fwd-status=200; detail=rule"
    assert len(origin.requests) == 2
    await running.stop()


@pytest_twisted.ensureDeferred
async def test_clients_from_elsewhere(the_reactor: Any, tmp_path: Path) -> None:
    """Who is not in an allowed network gets 403 with a sentence."""
    arguments = ["-r", str(tmp_path), "-a", "127.0.0.1:0", "--allow", "192.0.2.0/24"]
    running = Running(the_reactor, arguments)
    running.start()
    reply = await running.get("http://example.org/")
    assert reply.status == 403
    assert b"127.0.0.1 may not use this proxy" in reply.body
    await running.stop()


@pytest_twisted.ensureDeferred
async def test_cut_relay_does_not_look_whole(origin: Origin, proxy: Running) -> None:
    """After the head a failure breaks the connection, relayed chunks included."""
    origin.file(NOTES, 50_000, chunked=True, cut_at=100, headers=["Cache-Control: no-store"])
    with pytest.raises(Broken):
        await proxy.get(origin.url(NOTES))


@pytest_twisted.ensureDeferred
async def test_interleaved_on_one_connection(origin: Origin, proxy: Running) -> None:
    """A kept-alive connection survives 304, 416, HEAD, 404, 502 and empty bodies in a row."""
    origin.file(DEB, 100, etag='"e"')
    origin.file("/empty_1_all.deb", 0)
    client = await proxy.connect()
    asks = [
        ("GET", DEB, [], 200), ("GET", DEB, ['If-None-Match: "e"'], 304),
        ("GET", DEB, ["Range: bytes=100-"], 416), ("HEAD", DEB, [], 200),
        ("GET", "/absent", [], 404), ("GET", "/empty_1_all.deb", [], 200),
        ("GET", "/empty_1_all.deb", [], 200), ("GET", DEB, ["Range: bytes=1-2,4-5"], 206),
        ("HEAD", "/absent", [], 404), ("GET", DEB, [], 200),
    ]  # fmt: skip
    for method, path, headers, status in asks:
        client.ask(method, origin.url(path), *headers)
        assert (await client.reply(method)).status == status
    client.ask("GET", "http://127.0.0.1:1/")
    assert (await client.reply()).status == 502
    client.ask("GET", origin.url(DEB))
    assert len((await client.reply()).body) == 100


@pytest_twisted.ensureDeferred
async def test_leaver_before_the_head_is_logged_and_forgotten(
    origin: Origin, proxy: Running
) -> None:
    """A bypassing client that leaves ends its request upstream."""
    origin.scripts[NOTES] = lambda request: None
    client = await proxy.connect()
    client.ask("OPTIONS", origin.url(NOTES))
    request = await origin.next()
    client.close()
    await request.connection.ended()
    assert (await proxy.counters())["inProgress"] == 1


@pytest.mark.parametrize(("count", "padding"), [(3000, 0), (150, 540)])
@pytest_twisted.ensureDeferred
async def test_thousands_pipelined(
    origin: Origin, proxy: Running, count: int, padding: int
) -> None:
    """What is not answered is drained, so that a reset cannot overtake what is."""
    file = origin.file(DEB, 300_000)
    await proxy.get(origin.url(DEB))
    client = await proxy.connect()
    line = f"X-Padding: {'x' * padding}\r\n"
    client.send(f"GET {origin.url(DEB)} HTTP/1.1\r\nHost: h\r\n{line}\r\n".encode() * count)
    for _ in range(100):
        assert (await client.reply()).body == file.body
    assert await client.ended() == b""


@pytest.mark.parametrize("framing", ["Content-Length: 0", "Transfer-Encoding: chunked"])
@pytest_twisted.ensureDeferred
async def test_empty_body_is_said_again(origin: Origin, proxy: Running, framing: str) -> None:
    """A POST without a body needs its length: many origins answer 411 otherwise."""
    origin.scripts[NOTES] = lambda request: request.answer("200 OK", body=b"ok")
    client = await proxy.connect()
    client.ask("POST", origin.url(NOTES), framing)
    client.send(b"0\r\n\r\n" if "chunked" in framing else b"")
    assert (await client.reply()).status == 200
    name, _, value = framing.partition(": ")
    assert origin.requests[0][name] == value


@pytest_twisted.ensureDeferred
async def test_post_gets_a_fresh_connection(origin: Origin, proxy: Running) -> None:
    """What must not be sent twice is not sent on a connection that may be closed just now."""
    origin.file(DEB)
    await proxy.get(origin.url(DEB))
    origin.scripts[NOTES] = lambda request: request.answer("200 OK", body=b"ok")
    assert (await proxy.fetch("POST", origin.url(NOTES), body=b"x")).status == 200
    assert len(origin.connections) == 2


@pytest.mark.parametrize("host", ["a..b", "-a.example", "xn--a", "x" * 70 + ".example"])
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest_twisted.ensureDeferred
async def test_hosts_that_cannot_be(proxy: Running, scheme: str, host: str) -> None:
    """A name that no host can have is a 502 with a sentence, not a fault of ours."""
    if (scheme, host) == ("http", "-a.example"):
        return  # this one would be looked up
    reply = await proxy.get(f"{scheme}://{host}/")
    assert reply.status == 502
    assert b"is not a valid host name" in reply.body or b"has no address" in reply.body


@pytest_twisted.ensureDeferred
async def test_relay_keeps_the_framing(origin: Origin, proxy: Running) -> None:
    """An origin cannot take the length away by naming it in Connection; Date is added."""
    origin.scripts[NOTES] = lambda request: request.answer(
        "200 OK", "Connection: content-length", "Cache-Control: no-store", body=b"four"
    )
    client = await proxy.connect()
    for _ in range(2):
        client.ask("GET", origin.url(NOTES))
        reply = await client.reply()
        assert (reply.body, reply["Content-Length"]) == (b"four", "4")
        assert reply["Date"].endswith(" GMT")
