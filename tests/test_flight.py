"""One download feeds all: joins, ranges in flight, leaving, cuts, resumption."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, gatherResults

from tests.client import Broken, Conversation, Reply
from tests.origin import Origin, Request, digest
from tests.running import Running

ISO = "/images/debian-12.1.0-amd64-netinst.iso"
MIB = 1024 * 1024


async def opened(proxy: Running, url: str, *headers: str) -> tuple[Conversation, Reply]:
    """A client that has asked and has got its head."""
    conversation = await proxy.connect()
    conversation.ask("GET", url, *headers)
    return conversation, await conversation.head()


@pytest_twisted.ensureDeferred
async def test_herd(origin: Origin, proxy: Running) -> None:
    """100 clients at once on one uncached file: one request upstream, right bytes for all."""
    file = origin.file(ISO, MIB, hold_at=1000)
    waiting = [Deferred.fromCoroutine(proxy.get(origin.url(ISO))) for _ in range(100)]
    await origin.next()
    await proxy.in_progress(100)
    origin.release()
    replies = await gatherResults(waiting)
    assert {digest(reply.body) for reply in replies} == {digest(file.body)}
    assert len(origin.requests) == 1
    statuses = sorted(reply.cache_status for reply in replies)
    assert statuses == ["fwd=uri-miss; collapsed"] * 99 + ["fwd=uri-miss; fwd-status=200; stored"]
    assert (await proxy.counters())["collapsed"] == 99


@pytest_twisted.ensureDeferred
async def test_miss_streams(origin: Origin, proxy: Running) -> None:
    """Head and first bytes reach the client while upstream still has the rest."""
    file = origin.file(ISO, 10_000, hold_at=4000)
    client, head = await opened(proxy, origin.url(ISO))
    assert head["Content-Length"] == "10000"
    assert await client.read(4000) == file.body[:4000]
    origin.release()
    assert await client.read(6000) == file.body[4000:]


@pytest_twisted.ensureDeferred
async def test_head_comes_before_any_byte_of_the_body(origin: Origin, proxy: Running) -> None:
    """The head goes to the client when upstream's head is there."""
    origin.file(ISO, 10_000, hold_at=0)
    _, head = await opened(proxy, origin.url(ISO))
    assert head.status == 200
    origin.release()


@pytest.mark.parametrize("chunked", [False, True])
@pytest_twisted.ensureDeferred
async def test_join_in_the_middle(origin: Origin, proxy: Running, chunked: bool) -> None:
    """Who comes in the middle gets what is here at once, from byte 0, and the rest as it comes."""
    file = origin.file(ISO, MIB, chunked=chunked, hold_at=MIB // 2)
    first, _ = await opened(proxy, origin.url(ISO))
    await first.read(1000)
    second, head = await opened(proxy, origin.url(ISO))
    assert head.cache_status == "fwd=uri-miss; collapsed"
    if not chunked:
        assert await second.read(MIB // 2) == file.body[: MIB // 2]
    origin.release()
    if chunked:
        assert await second._chunked() == file.body
    else:
        assert await second.read(MIB // 2) == file.body[MIB // 2 :]
    assert len(origin.requests) == 1


@pytest_twisted.ensureDeferred
async def test_range_in_flight(origin: Origin, proxy: Running) -> None:
    """A range is served from the one download as soon as its bytes are there."""
    file = origin.file(ISO, 20_000, hold_at=10_000)
    first, _ = await opened(proxy, origin.url(ISO))
    early = await proxy.get(origin.url(ISO), "Range: bytes=100-4999")
    assert (early.status, early.body) == (206, file.body[100:5000])
    assert early["Content-Range"] == "bytes 100-4999/20000"
    late, head = await opened(proxy, origin.url(ISO), "Range: bytes=9000-11999")
    assert head["Content-Length"] == "3000"
    assert await late.read(1000) == file.body[9000:10_000]
    suffix, _ = await opened(proxy, origin.url(ISO), "Range: bytes=-500")
    origin.release()
    assert await late.read(2000) == file.body[10_000:12_000]
    assert await suffix.read(500) == file.body[-500:]
    assert len(origin.requests) == 1
    first.close()


@pytest_twisted.ensureDeferred
async def test_range_as_the_first_request(origin: Origin, proxy: Running) -> None:
    """A range on a miss makes the whole download, and is served from it."""
    file = origin.file(ISO, 20_000)
    reply = await proxy.get(origin.url(ISO), "Range: bytes=5-9,100-109")
    assert reply.status == 206
    assert file.body[5:10] in reply.body
    assert file.body[100:110] in reply.body
    assert "Range" not in origin.requests[0]
    whole = await proxy.get(origin.url(ISO))
    assert (whole.body, whole.cache_status) == (file.body, "hit")


@pytest_twisted.ensureDeferred
async def test_range_far_ahead_goes_beside(origin: Origin, proxy: Running) -> None:
    """A range more than 8 MiB ahead of the download does not wait for it, nor is it stored."""
    file = origin.file(ISO, 10 * MIB, etag='"one"', hold_at=1000)
    first, _ = await opened(proxy, origin.url(ISO))
    file.hold_at = None
    start = 9 * MIB
    reply = await proxy.get(origin.url(ISO), f"Range: bytes={start}-")
    assert (reply.status, reply.body == file.body[start:]) == (206, True)
    assert reply.cache_status == "fwd=partial; fwd-status=206; detail=far-ahead"
    assert origin.requests[1]["Range"] == f"bytes={start}-"
    assert origin.requests[1]["If-Range"] == '"one"'
    assert proxy.stored() == []
    near = await proxy.get(origin.url(ISO), "Range: bytes=10-19")
    assert near.body == file.body[10:20]
    assert len(origin.requests) == 2
    origin.release()
    assert await first.read(10 * MIB) == file.body


@pytest_twisted.ensureDeferred
async def test_far_range_of_another_version_is_not_mixed(origin: Origin, proxy: Running) -> None:
    """If the origin has changed meanwhile, the range waits for the download it belongs to."""
    old = origin.file(ISO, 10 * MIB, etag='"one"', hold_at=1000)
    first, _ = await opened(proxy, origin.url(ISO))
    new = origin.file(ISO, 10 * MIB, etag='"two"')
    new.body = new.body[::-1]
    client, head = await opened(proxy, origin.url(ISO), f"Range: bytes={9 * MIB}-")
    assert head.status == 206
    origin.release()
    assert await client.read(MIB) == old.body[9 * MIB :]
    first.close()


@pytest_twisted.ensureDeferred
async def test_first_client_leaves(origin: Origin, proxy: Running) -> None:
    """The download belongs to no client: the first one leaving changes nothing."""
    file = origin.file(ISO, 100_000, hold_at=1000)
    first, _ = await opened(proxy, origin.url(ISO))
    second, _ = await opened(proxy, origin.url(ISO))
    first.close()
    await second.read(1000)
    origin.release()
    assert await second.read(99_000) == file.body[1000:]
    assert (await proxy.get(origin.url(ISO))).cache_status == "hit"


@pytest_twisted.ensureDeferred
async def test_client_leaves_before_the_head(origin: Origin, proxy: Running) -> None:
    """Who leaves while upstream has not answered yet does not end it for the others."""
    gate: list[Request] = []
    origin.scripts[ISO] = gate.append
    first = await proxy.connect()
    first.ask("GET", origin.url(ISO))
    request = await origin.next()
    second = Deferred.fromCoroutine(proxy.get(origin.url(ISO)))
    first.close()
    await first.ended()
    request.answer("200 OK", body=b"here")
    assert (await second).body == b"here"
    assert len(origin.requests) == 1


@pytest_twisted.ensureDeferred
async def test_client_of_an_unshareable_answer_leaves(origin: Origin, proxy: Running) -> None:
    """An answer for a client that is gone is given up; the others ask for themselves."""
    gate: list[Request] = []
    origin.scripts[ISO] = gate.append
    first = await proxy.connect()
    first.ask("GET", origin.url(ISO))
    request = await origin.next()
    second = Deferred.fromCoroutine(proxy.get(origin.url(ISO)))
    first.close()
    await first.ended()
    await proxy.in_progress(1)
    request.head("200 OK", "Cache-Control: private", f"Content-Length: {MIB}")
    (await origin.next()).answer("200 OK", "Cache-Control: private", body=b"yours")
    assert (await second).body == b"yours"
    await request.connection.ended()


@pytest_twisted.ensureDeferred
async def test_unshareable_answers_do_not_queue(origin: Origin, proxy: Running) -> None:
    """Followers of an answer that may not be shared ask at once, not one after the other."""
    origin.scripts[ISO] = lambda request: None
    waiting = [Deferred.fromCoroutine(proxy.get(origin.url(ISO))) for _ in range(5)]
    requests = [await origin.next()]
    await proxy.in_progress(5)
    requests[0].answer("200 OK", "Set-Cookie: a=0", body=b"0")
    requests += [await origin.next() for _ in range(4)]
    for number, request in enumerate(requests[1:], 1):
        request.answer("200 OK", body=b"%d" % number)
    replies: Any = await gatherResults(waiting)
    assert sorted(reply.body for reply in replies) == [b"0", b"1", b"2", b"3", b"4"]


@pytest_twisted.ensureDeferred
async def test_all_leave_and_little_is_missing(origin: Origin, proxy: Running) -> None:
    """With all clients gone, a download with at most 64 MiB missing goes on."""
    file = origin.file(ISO, MIB, hold_at=1000)
    client, _ = await opened(proxy, origin.url(ISO))
    await client.read(1000)
    client.close()
    await client.ended()
    origin.release()
    reply = await proxy.get(origin.url(ISO))
    assert reply.body == file.body
    assert len(origin.requests) == 1


@pytest_twisted.ensureDeferred
async def test_all_leave_and_much_is_missing(
    origin: Origin, proxy: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it stops; its partial is kept, and the next request resumes it."""
    monkeypatch.setattr("pkgproxy.download.WORTH_FINISHING", 10_000)
    file = origin.file(ISO, 100_000, etag='"one"', hold_at=40_000)
    client, _ = await opened(proxy, origin.url(ISO))
    await client.read(40_000)
    client.close()
    await origin.connections[0].ended()
    assert proxy.stored() == []
    assert [path.stat().st_size for path in proxy.partials()] == [40_000]
    file.hold_at = None
    reply = await proxy.get(origin.url(ISO))
    assert reply.body == file.body
    assert reply.status == 200
    assert origin.requests[1]["Range"] == "bytes=40000-"
    assert origin.requests[1]["If-Range"] == '"one"'
    assert (await proxy.get(origin.url(ISO))).body == file.body
    assert proxy.partials() == []


@pytest_twisted.ensureDeferred
async def test_half_is_here_so_it_goes_on(
    origin: Origin, proxy: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At least half is here: it goes on without clients, however much is missing."""
    monkeypatch.setattr("pkgproxy.download.WORTH_FINISHING", 10_000)
    file = origin.file(ISO, 100_000, hold_at=60_000)
    client, _ = await opened(proxy, origin.url(ISO))
    await client.read(60_000)
    client.close()
    await client.ended()
    origin.release()
    assert (await proxy.get(origin.url(ISO))).body == file.body
    assert len(origin.requests) == 1


@pytest.mark.parametrize("etag", ['"one"', None])
@pytest_twisted.ensureDeferred
async def test_upstream_cut(origin: Origin, proxy: Running, etag: str | None) -> None:
    """A cut body aborts its clients, is never a hit, and is resumed by the next request."""
    file = origin.file(ISO, 100_000, etag=etag, cut_at=30_000)
    client, _ = await opened(proxy, origin.url(ISO))
    with pytest.raises(Broken):
        await client.read(100_000)
    assert proxy.stored() == []
    file.cut_at = None
    reply = await proxy.get(origin.url(ISO))
    assert reply.body == file.body
    assert origin.requests[1]["Range"] == "bytes=30000-"


@pytest_twisted.ensureDeferred
async def test_cut_chunked_body_never_looks_whole(origin: Origin, proxy: Running) -> None:
    """Without a length the missing last chunk tells, and the client's chunk is missing too."""
    origin.file(ISO, 100_000, chunked=True, cut_at=30_000)
    client, _ = await opened(proxy, origin.url(ISO))
    with pytest.raises(Broken):
        await client._chunked()
    assert proxy.stored() == []
    assert proxy.partials() == []


@pytest.mark.parametrize("change", [{"etag": '"two"'}, {"etag": None, "modified": 1_700_000_000.0}])
@pytest_twisted.ensureDeferred
async def test_changed_file_is_not_mixed_on_resumption(
    origin: Origin, proxy: Running, change: dict[str, Any]
) -> None:
    """Another version meanwhile: fetched from the start, not one byte of the old one."""
    origin.file(ISO, 100_000, etag='"one"' if change["etag"] else None, cut_at=30_000)
    client, _ = await opened(proxy, origin.url(ISO))
    with pytest.raises(Broken):
        await client.read(100_000)
    new = origin.file(ISO, 100_000, **change)
    new.body = new.body[::-1]
    assert (await proxy.get(origin.url(ISO))).body == new.body
    assert (await proxy.get(origin.url(ISO))).body == new.body


@pytest.mark.parametrize(
    "content_range", ["bytes 30000-99999/100001", "bytes 29999-99999/100000", "bytes */100000", ""]
)
@pytest_twisted.ensureDeferred
async def test_wrong_206_is_not_believed(
    origin: Origin, proxy: Running, content_range: str
) -> None:
    """A 206 that is not the rest of just this body: the whole is asked for."""
    file = origin.file(ISO, 100_000, etag='"one"', cut_at=30_000)
    client, _ = await opened(proxy, origin.url(ISO))
    with pytest.raises(Broken):
        await client.read(100_000)
    file.cut_at = None

    def script(request: Request) -> None:
        if "Range" in request:
            lines = [f"Content-Range: {content_range}"] if content_range else []
            request.answer("206 Partial Content", 'ETag: "one"', *lines, body=b"x" * 70_000)
        else:
            request.answer("200 OK", body=file.body)

    origin.scripts[ISO] = script
    assert (await proxy.get(origin.url(ISO))).body == file.body


@pytest_twisted.ensureDeferred
async def test_origin_that_sends_more_than_it_announced(origin: Origin, proxy: Running) -> None:
    """The client gets the announced bytes; what follows is not the next answer."""

    def script(request: Request) -> None:
        request.head("200 OK", "Content-Length: 5")
        request.send(b"12345HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")

    origin.scripts[ISO] = script
    assert (await proxy.get(origin.url(ISO))).body == b"12345"
    origin.file("/other_1_all.deb")
    assert (await proxy.get(origin.url("/other_1_all.deb"))).body != b"evil"
    assert len(origin.connections) == 2


@pytest_twisted.ensureDeferred
async def test_slow_reader_slows_nobody(origin: Origin, proxy: Running) -> None:
    """One client that does not read: the others and the store get everything at once."""
    file = origin.file(ISO, 12 * MIB)
    slow, _ = await opened(proxy, origin.url(ISO))
    slow.pause()
    reply = await proxy.get(origin.url(ISO))
    assert digest(reply.body) == digest(file.body)
    assert (await proxy.get(origin.url(ISO))).cache_status == "hit"
    slow.resume()
    assert digest(await slow.read(12 * MIB)) == digest(file.body)
    assert len(origin.requests) == 1


@pytest_twisted.ensureDeferred
async def test_checks_are_shared(origin: Origin, proxy: Running) -> None:
    """Concurrent checks of one index are one conditional request."""
    path = "/dists/stable/InRelease"
    file = origin.file(path, etag='"one"')
    await proxy.get(origin.url(path))
    origin.scripts[path] = lambda request: None
    waiting = [Deferred.fromCoroutine(proxy.get(origin.url(path))) for _ in range(10)]
    await origin.next()
    check = await origin.next()
    await proxy.in_progress(10)
    check.head("304 Not Modified", 'ETag: "one"')
    replies: Any = await gatherResults(waiting)
    assert {reply.body for reply in replies} == {file.body}
    assert sum("collapsed" in reply.cache_status for reply in replies) == 9
    assert len(origin.requests) == 2


@pytest_twisted.ensureDeferred
async def test_head_during_a_download(origin: Origin, proxy: Running) -> None:
    """HEAD learns from the download in progress."""
    origin.file(ISO, 10_000, hold_at=10)
    client, _ = await opened(proxy, origin.url(ISO))
    head = await proxy.fetch("HEAD", origin.url(ISO))
    assert (head["Content-Length"], head.cache_status) == ("10000", "fwd=uri-miss; collapsed")
    assert len(origin.requests) == 1
    origin.release()
    await client.read(10_000)


@pytest_twisted.ensureDeferred
async def test_nothing_is_left_open(origin: Origin, proxy: Running) -> None:
    """After hits, misses, cuts and leavers no descriptor more is open than before."""
    from tests.conftest import descriptors

    file = origin.file(ISO, MIB)
    await proxy.get(origin.url(ISO))
    before = descriptors()
    for _ in range(20):
        await proxy.get(origin.url(ISO))
        await proxy.get(origin.url(ISO), "Cache-Control: no-cache")
        await proxy.get(origin.url("/absent_1_all.deb"))
        client, _ = await opened(proxy, origin.url(ISO))
        client.close()
        await client.ended()
    file.cut_at = 10
    for number in range(20):
        origin.files[f"/{number}_1_all.deb"] = file
        client, _ = await opened(proxy, origin.url(f"/{number}_1_all.deb"))
        with pytest.raises(Broken):
            await client.read(MIB)
    for _ in range(100):
        await proxy.counters()
    assert descriptors() <= before + 4


@pytest_twisted.ensureDeferred
async def test_far_range_of_what_the_client_has_not(origin: Origin, proxy: Running) -> None:
    """A client that resumes an older version gets the whole of the new one."""
    file = origin.file(ISO, 10 * MIB, etag='"new"')
    reply = await proxy.get(origin.url(ISO), f"Range: bytes={9 * MIB}-", 'If-Range: "old"')
    assert (reply.status, digest(reply.body)) == (200, digest(file.body))


@pytest.mark.parametrize("answer", ["ignored", "500", "other part", "other version"])
@pytest_twisted.ensureDeferred
async def test_far_range_that_upstream_does_not_give(
    origin: Origin, proxy: Running, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then it waits for the download, which does not end for want of readers meanwhile."""
    monkeypatch.setattr("pkgproxy.download.WORTH_FINISHING", 1000)
    file = origin.file(ISO, 20 * MIB, etag='"one"', ranges=False, hold_at=1000)

    def script(request: Request) -> None:
        if "Range" not in request or answer == "ignored":
            origin._serve(request, file)
        elif answer == "500":
            request.answer("500 Oops", body=b"x")
        else:
            tag, first = ("one", 5) if answer == "other part" else ("two", 15 * MIB)
            span = f"Content-Range: bytes {first}-{20 * MIB - 1}/{20 * MIB}"
            request.answer("206 Part", f'ETag: "{tag}"', span, body=b"x" * (20 * MIB - first))

    origin.scripts[ISO] = script
    client = await proxy.connect()
    client.ask("GET", origin.url(ISO), f"Range: bytes={15 * MIB}-")
    await origin.next()
    await origin.next()
    origin.release()
    reply = await client.reply()
    assert (reply.status, digest(reply.body)) == (206, digest(file.body[15 * MIB :]))


@pytest_twisted.ensureDeferred
async def test_failed_download_is_resumed_though_a_reader_holds_it(
    origin: Origin, proxy: Running
) -> None:
    """A slow reader of a download that was cut does not keep others from its continuation."""
    file = origin.file(ISO, 12 * MIB, etag='"one"', cut_at=11 * MIB)
    slow, _ = await opened(proxy, origin.url(ISO))
    slow.pause()
    quick, _ = await opened(proxy, origin.url(ISO))
    with pytest.raises(Broken):
        await quick.read(12 * MIB)
    file.cut_at = None
    assert digest((await proxy.get(origin.url(ISO))).body) == digest(file.body)
    assert origin.requests[-1]["Range"] == f"bytes={11 * MIB}-"
    slow.resume()
    with pytest.raises(Broken):
        await slow.read(12 * MIB)
    assert bytes(slow.data) == file.body[: len(slow.data)]
    assert proxy.partials() == []


@pytest_twisted.ensureDeferred
async def test_new_version_while_a_reader_holds_the_old(origin: Origin, proxy: Running) -> None:
    """A slow reader of a download that was cut never sees bytes of the next version."""
    old = origin.file(ISO, 12 * MIB, etag='"one"', cut_at=11 * MIB)
    slow, _ = await opened(proxy, origin.url(ISO))
    slow.pause()
    quick, _ = await opened(proxy, origin.url(ISO))
    with pytest.raises(Broken):
        await quick.read(12 * MIB)
    new = origin.file(ISO, 12 * MIB, etag='"two"')
    new.body = new.body[::-1]
    assert digest((await proxy.get(origin.url(ISO))).body) == digest(new.body)
    slow.resume()
    with pytest.raises(Broken):
        await slow.read(12 * MIB)
    assert len(slow.data) > 0
    assert bytes(slow.data) == old.body[: len(slow.data)]


@pytest_twisted.ensureDeferred
async def test_no_room(origin: Origin, proxy: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk turns the cache off for that request, never the request away."""
    monkeypatch.setattr("pkgproxy.store.partial._LEAST_ROOM", 1 << 60)
    file = origin.file(ISO, MIB)
    reply = await proxy.get(origin.url(ISO))
    assert (reply.body, reply.cache_status) == (
        file.body, "fwd=uri-miss; fwd-status=200; detail=store",
    )  # fmt: skip
    assert proxy.partials() == []


@pytest.mark.parametrize("missing", [1, -1])
@pytest_twisted.ensureDeferred
async def test_continuation_of_another_length(origin: Origin, proxy: Running, missing: int) -> None:
    """A continuation in chunks that ends too early or too late is not the rest of the body."""
    file = origin.file(ISO, 100_000, etag='"one"', cut_at=30_000)
    client, _ = await opened(proxy, origin.url(ISO))
    with pytest.raises(Broken):
        await client.read(100_000)

    def script(request: Request) -> None:
        rest = (file.body + b"x")[30_000 : 100_000 - missing]
        span = "Content-Range: bytes 30000-99999/100000"
        request.head("206 Part", 'ETag: "one"', span, "Transfer-Encoding: chunked")
        request.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(rest), rest))

    origin.scripts[ISO] = script
    client, _ = await opened(proxy, origin.url(ISO))
    with pytest.raises(Broken):
        await client.read(100_000)
    assert proxy.stored() == []


@pytest.mark.parametrize("stored", [False, True])
@pytest_twisted.ensureDeferred
async def test_fault_of_ours_behind_the_head(
    origin: Origin,
    proxy: Running,
    stored: bool,
    monkeypatch: pytest.MonkeyPatch,
    logged: list[Any],
) -> None:
    """A bug after the head breaks the connection: an error page would be taken for the body."""
    origin.file(ISO, MIB)
    if stored:
        await proxy.get(origin.url(ISO))

    def fail(*_: object) -> int:
        raise RuntimeError("a bug")

    monkeypatch.setattr("pkgproxy.deliver.delivery.os.sendfile", fail)
    client = await proxy.connect()
    client.ask("GET", origin.url(ISO))
    with pytest.raises(Broken):
        await client.reply()
    await proxy.in_progress(0)
    assert "a bug" in str(logged.pop()["log_failure"])
    monkeypatch.undo()
    assert (await proxy.get(origin.url(ISO))).status == 200
