"""Miss, hit, revalidate, stale and bypass, over loopback sockets."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted

from tests.origin import Origin, Request, digest, some_bytes
from tests.running import Running

DEB = "/pool/main/h/hello_1.0_all.deb"
INDEX = "/dists/stable/InRelease"
OTHER = "/files/notes"


@pytest_twisted.ensureDeferred
async def test_second_request_comes_from_disk(origin: Origin, proxy: Running) -> None:
    """The first request is a miss and stored, the second asks nobody."""
    file = origin.file(DEB, 200_000, etag='"one"', headers=["Content-Type: application/x-deb"])
    first = await proxy.get(origin.url(DEB))
    second = await proxy.get(origin.url(DEB))
    assert first.body == second.body == file.body
    assert first.cache_status == "fwd=uri-miss; fwd-status=200; stored"
    assert second.cache_status == "hit"
    assert len(origin.requests) == 1
    for name in ("ETag", "Last-Modified", "Content-Type", "Content-Length"):
        assert second[name] == first[name] != ""
    assert second["Accept-Ranges"] == "bytes"
    assert second["Via"] == "1.1 pkgproxy"
    assert "Date" in second
    assert int(second["Age"]) >= 0


@pytest_twisted.ensureDeferred
async def test_stored_file_is_plain(origin: Origin, proxy: Running) -> None:
    """A person finds the file by its URL, dated as upstream dates it."""
    file = origin.file(DEB)
    await proxy.get(origin.url(DEB))
    path = proxy.root / f"127.0.0.1:{origin.number}" / DEB[1:]
    assert path.read_bytes() == file.body
    assert path.stat().st_mtime == file.modified


@pytest.mark.parametrize("chunked", [False, True])
@pytest_twisted.ensureDeferred
async def test_chunked_upstream_is_stored(origin: Origin, proxy: Running, chunked: bool) -> None:
    """A body without a length is whole when its last chunk came."""
    file = origin.file(DEB, 300_000, chunked=chunked)
    assert (await proxy.get(origin.url(DEB))).body == file.body
    second = await proxy.get(origin.url(DEB))
    assert (second.body, second.cache_status) == (file.body, "hit")
    assert second["Content-Length"] == "300000"


@pytest_twisted.ensureDeferred
async def test_body_ended_by_close_is_passed_on_and_not_stored(
    origin: Origin, proxy: Running
) -> None:
    """Without a length nobody can know that it is whole."""

    def script(request: Request) -> None:
        request.head("200 OK")
        request.send(b"all there is")
        request.close()

    origin.scripts[DEB] = script
    for _ in range(2):
        assert (await proxy.get(origin.url(DEB))).body == b"all there is"
    assert len(origin.requests) == 2
    assert proxy.stored() == []


@pytest_twisted.ensureDeferred
async def test_index_is_checked_each_time(origin: Origin, proxy: Running) -> None:
    """An index is asked for with its validators; 304 serves the file, a change is seen."""
    file = origin.file(INDEX, 5000, etag='"one"')
    await proxy.get(origin.url(INDEX))
    again = await proxy.get(origin.url(INDEX))
    assert again.body == file.body
    assert again.cache_status == "fwd=stale; fwd-status=304"
    assert origin.requests[1]["If-None-Match"] == '"one"'
    assert "If-Modified-Since" in origin.requests[1]
    changed = origin.file(INDEX, 6000, etag='"two"')
    third = await proxy.get(origin.url(INDEX))
    assert third.body == changed.body
    assert third.cache_status == "fwd=stale; fwd-status=200; stored"
    assert (await proxy.get(origin.url(INDEX))).cache_status == "fwd=stale; fwd-status=304"


@pytest_twisted.ensureDeferred
async def test_index_without_validators_is_fetched_whole(origin: Origin, proxy: Running) -> None:
    """No validator, no condition; it is kept for the day upstream is down."""
    file = origin.file(INDEX, 5000, modified=None)
    first = await proxy.get(origin.url(INDEX))
    assert "Last-Modified" not in first
    await proxy.get(origin.url(INDEX))
    assert "If-Modified-Since" not in origin.requests[1]
    assert "If-None-Match" not in origin.requests[1]
    await origin.stop()
    stale = await proxy.get(origin.url(INDEX))
    assert stale.body == file.body
    assert "Last-Modified" not in stale


@pytest_twisted.ensureDeferred
async def test_index_is_stale_when_upstream_is_down(origin: Origin, proxy: Running) -> None:
    """Upstream down or failing: the stored index, marked stale."""
    file = origin.file(INDEX, 5000)
    await proxy.get(origin.url(INDEX))
    origin.scripts[INDEX] = lambda request: request.answer("503 Busy", body=b"busy")
    failing = await proxy.get(origin.url(INDEX))
    assert failing.body == file.body
    assert failing.cache_status == "fwd=stale; fwd-status=503; detail=stale-if-error"
    await origin.stop()
    down = await proxy.get(origin.url(INDEX))
    assert down.body == file.body
    assert down.cache_status == "fwd=stale; detail=stale-if-error"
    assert (await proxy.fetch("HEAD", origin.url(INDEX))).status == 200
    assert (await proxy.counters())["stale"] == 3


@pytest.mark.parametrize(
    "header",
    ["Cache-Control: no-cache", "Cache-Control: must-revalidate", "Cache-Control: max-age=300",
     "Cache-Control: public, s-maxage=86399", "Expires: 0",
     "Expires: Thu, 01 Jan 1970 00:00:00 GMT"],
)  # fmt: skip
@pytest_twisted.ensureDeferred
async def test_auto_is_checked_when_the_origin_says_it_changes(
    origin: Origin, proxy: Running, header: str
) -> None:
    """What no rule names is kept like a package unless its answer says that it changes."""
    origin.file(OTHER, etag='"x"', headers=[header])
    await proxy.get(origin.url(OTHER))
    assert (await proxy.get(origin.url(OTHER))).cache_status == "fwd=stale; fwd-status=304"


@pytest.mark.parametrize("header", ["X-Nothing: 1", "Cache-Control: max-age=86400"])
@pytest_twisted.ensureDeferred
async def test_auto_is_kept_otherwise(origin: Origin, proxy: Running, header: str) -> None:
    """As the classic proxy promises."""
    origin.file(OTHER, headers=[header])
    await proxy.get(origin.url(OTHER))
    assert (await proxy.get(origin.url(OTHER))).cache_status == "hit"


@pytest.mark.parametrize(
    ("header", "reason"),
    [("Cache-Control: private", "cache-control"), ("Cache-Control: no-store", "cache-control"),
     ("Set-Cookie: a=b", "set-cookie"), ("Vary: Accept", "vary"), ("Vary: *", "vary")],
)  # fmt: skip
@pytest_twisted.ensureDeferred
async def test_private_answers_are_not_shared(
    origin: Origin, proxy: Running, header: str, reason: str
) -> None:
    """An answer for one client only is not stored."""
    origin.file(DEB, headers=[header])
    for _ in range(2):
        reply = await proxy.get(origin.url(DEB))
        assert reply.cache_status == f"fwd=uri-miss; fwd-status=200; detail={reason}"
    assert len(origin.requests) == 2
    assert proxy.stored() == []


@pytest.mark.parametrize(
    ("header", "reason"),
    [("Authorization: Basic eDp5", "credentials"), ("Cookie: a=b", "credentials"),
     ("Cache-Control: no-store", "no-store")],
)  # fmt: skip
@pytest_twisted.ensureDeferred
async def test_requests_that_bypass(
    origin: Origin, proxy: Running, header: str, reason: str
) -> None:
    """Credentials and no-store go by the store in both directions."""
    origin.file(DEB)
    reply = await proxy.get(origin.url(DEB), header)
    assert reply.cache_status == f"fwd=bypass; fwd-status=200; detail={reason}"
    assert proxy.stored() == []
    assert origin.requests[0][header.partition(":")[0]] == header.partition(": ")[2]


@pytest.mark.parametrize("header", ["Cache-Control: no-cache", "Pragma: no-cache"])
@pytest_twisted.ensureDeferred
async def test_no_cache_checks_with_upstream(origin: Origin, proxy: Running, header: str) -> None:
    """A client that doubts a stored file makes us ask; a changed one replaces it."""
    origin.file(DEB, etag='"one"')
    await proxy.get(origin.url(DEB))
    checked = await proxy.get(origin.url(DEB), header)
    assert checked.cache_status == "fwd=request; fwd-status=304"
    changed = origin.file(DEB, 2000, etag='"two"')
    assert (await proxy.get(origin.url(DEB), header)).body == changed.body
    assert (await proxy.get(origin.url(DEB))).body == changed.body


@pytest_twisted.ensureDeferred
async def test_only_if_cached(origin: Origin, proxy: Running) -> None:
    """504 when it is not there, the file when it is; upstream is never asked."""
    origin.file(DEB)
    absent = await proxy.get(origin.url(DEB), "Cache-Control: only-if-cached")
    assert absent.status == 504
    assert origin.requests == []
    await proxy.get(origin.url(DEB))
    present = await proxy.get(origin.url(DEB), "Cache-Control: only-if-cached")
    assert (present.status, present.cache_status) == (200, "hit")


@pytest_twisted.ensureDeferred
async def test_head_stores_nothing(origin: Origin, proxy: Running) -> None:
    """HEAD on a miss asks upstream with HEAD; the next GET gets the whole body."""
    file = origin.file(DEB)
    head = await proxy.fetch("HEAD", origin.url(DEB))
    assert (head.status, head["Content-Length"]) == (200, "1000")
    assert proxy.stored() == []
    assert (await proxy.get(origin.url(DEB))).body == file.body
    stored = await proxy.fetch("HEAD", origin.url(DEB))
    assert (stored.cache_status, stored["Content-Length"]) == ("hit", "1000")


@pytest_twisted.ensureDeferred
async def test_errors_of_upstream_pass_and_are_not_stored(origin: Origin, proxy: Running) -> None:
    """404 is the origin's word, each time anew."""
    for _ in range(2):
        reply = await proxy.get(origin.url(DEB))
        assert (reply.status, reply.body) == (404, b"no such file\n")
    assert len(origin.requests) == 2
    origin.file(DEB)
    assert (await proxy.get(origin.url(DEB))).status == 200


@pytest_twisted.ensureDeferred
async def test_rm_rf_while_it_runs(origin: Origin, proxy: Running) -> None:
    """rm -rf cache/* at any time: the next request fetches again and stores again."""
    file = origin.file(DEB)
    for _ in range(2):
        assert (await proxy.get(origin.url(DEB))).body == file.body
        for path in proxy.root.iterdir():
            shutil.rmtree(path)
    assert len(origin.requests) == 2


@pytest_twisted.ensureDeferred
async def test_file_copied_in_by_hand(origin: Origin, proxy: Running) -> None:
    """A file put there by hand is served on its time and a type guessed from its name."""
    path = proxy.root / f"127.0.0.1:{origin.number}" / DEB[1:]
    path.parent.mkdir(parents=True)
    path.write_bytes(b"by hand")
    os.utime(path, (0, 1_500_000_000))
    reply = await proxy.get(origin.url(DEB))
    assert (reply.body, reply.cache_status) == (b"by hand", "hit")
    assert reply["Last-Modified"] == "Fri, 14 Jul 2017 02:40:00 GMT"
    assert origin.requests == []


@pytest_twisted.ensureDeferred
async def test_file_truncated_behind_our_back(origin: Origin, proxy: Running) -> None:
    """A file that is not as long as recorded is no hit; it is fetched again."""
    file = origin.file(DEB, 5000)
    await proxy.get(origin.url(DEB))
    path = proxy.root / f"127.0.0.1:{origin.number}" / DEB[1:]
    os.truncate(path, 100)
    assert (await proxy.get(origin.url(DEB))).body == file.body
    assert path.read_bytes() == file.body


@pytest_twisted.ensureDeferred
async def test_unwritable_root_proxies_without_storing(
    the_reactor: Any, tmp_path: Path, origin: Origin
) -> None:
    """A root that cannot be written is a warning: every request is still satisfied."""
    (tmp_path / "file").write_bytes(b"")
    running = Running(the_reactor, ["-r", str(tmp_path / "file" / "cache"), "-a", "127.0.0.1:0"])
    running.start()
    try:
        file = origin.file(DEB, 50_000)
        for _ in range(2):
            reply = await running.get(origin.url(DEB))
            assert reply.body == file.body
            assert reply.cache_status == "fwd=uri-miss; fwd-status=200; detail=store"
    finally:
        await running.stop()


@pytest_twisted.ensureDeferred
async def test_content_coding_is_kept_with_the_body(origin: Origin, proxy: Running) -> None:
    """Upstream is asked for identity; if it codes all the same, the coding is stored too."""
    origin.file(DEB, headers=["Content-Encoding: gzip"])
    await proxy.get(origin.url(DEB), "Accept-Encoding: gzip")
    assert origin.requests[0]["Accept-Encoding"] == "identity"
    hit = await proxy.get(origin.url(DEB))
    assert (hit.cache_status, hit["Content-Encoding"]) == ("hit", "gzip")


@pytest_twisted.ensureDeferred
async def test_one_spelling_one_file(origin: Origin, proxy: Running) -> None:
    """%2b and +, the host in capitals, the fragment: one file. The query is part of the key."""
    body = some_bytes(100)
    for path in ("/a%2b1_1_all.deb", "/a+1_1_all.deb"):
        origin.file(path).body = body
    plain = origin.url("/a+1_1_all.deb")
    await proxy.get(plain)
    for url in (origin.url("/a%2b1_1_all.deb"), origin.url("/%61%2B1_1_all.deb"),
                plain.replace("http", "HTTP"), plain + "#part"):  # fmt: skip
        assert (await proxy.get(url)).cache_status == "hit"
    assert "hit" not in (await proxy.get(plain + "?x=1")).cache_status
    assert len(origin.requests) == 2


@pytest_twisted.ensureDeferred
async def test_two_hosts_never_share(origin: Origin, proxy: Running) -> None:
    """The same path at another host is another file."""
    origin.file(DEB)
    await proxy.get(origin.url(DEB))
    other = await proxy.get(origin.url(DEB).replace("127.0.0.1", "localhost"))
    assert other.cache_status.startswith("fwd=uri-miss")


@pytest.mark.parametrize(
    "path",
    ["/a/../../../etc/x_1_all.deb", "/%00_1_all.deb", "/a%2fb_1_all.deb", "/..%2f..%2fx_1_all.deb",
     f"/{'n' * 300}_1_all.deb", f"/{'d/' * 900}x_1_all.deb", "//a//b_1_all.deb", "/.pkgproxy/x",
     "/a\\..\\b_1_all.deb", "/%e2%82%ac_1_all.deb", "/" + "x%20" * 1500],
)  # fmt: skip
@pytest_twisted.ensureDeferred
async def test_odd_names_do_no_harm(origin: Origin, proxy: Running, path: str) -> None:
    """Dots, NUL, slashes, long names: answered, and nothing outside the root."""
    before = sorted(os.listdir(proxy.root.parent))
    file = origin.file(path)
    for _ in range(2):
        assert (await proxy.get(origin.url(path))).body == file.body
    assert sorted(os.listdir(proxy.root.parent)) == before
    for name in proxy.stored():
        assert ".." not in name.split("/")


@pytest_twisted.ensureDeferred
async def test_a_path_that_is_both_file_and_directory(origin: Origin, proxy: Running) -> None:
    """Both are stored, in either order."""
    paths = ("/a", "/a/b", "/a/b/c.d", "/a/b/c.d/e", "/a/", "/x.y/z", "/x.y")
    bodies = {path: origin.file(path).body for path in paths}
    for cache_status in ("fwd=uri-miss; fwd-status=200; stored", "hit"):
        for path, body in bodies.items():
            reply = await proxy.get(origin.url(path))
            assert (digest(reply.body), reply.cache_status) == (digest(body), cache_status)


@pytest.mark.parametrize("header", ["Set-Cookie: a=b", "Cache-Control: private", "Content-Type: x"])
@pytest_twisted.ensureDeferred
async def test_what_a_304_says_for_one_client(origin: Origin, proxy: Running, header: str) -> None:
    """Fields of a 304 that are for who asked, or describe a body, are not kept for others."""
    file = origin.file(INDEX, etag='"one"', headers=["Content-Type: text/plain"])
    await proxy.get(origin.url(INDEX))
    file.headers = [header]
    for _ in range(2):
        reply = await proxy.get(origin.url(INDEX))
        assert reply.cache_status == "fwd=stale; fwd-status=304"
        assert header not in [": ".join(item) for item in reply.headers]
        assert reply["Content-Type"] == "text/plain"


@pytest_twisted.ensureDeferred
async def test_304_prolongs(origin: Origin, proxy: Running) -> None:
    """A 304 that says how long the file is good is believed."""
    file = origin.file(OTHER, etag='"one"', headers=["Cache-Control: max-age=60"])
    await proxy.get(origin.url(OTHER))
    file.headers = ["Cache-Control: max-age=864000"]
    assert (await proxy.get(origin.url(OTHER))).cache_status == "fwd=stale; fwd-status=304"
    reply = await proxy.get(origin.url(OTHER))
    assert (reply.cache_status, reply["Cache-Control"]) == ("hit", "max-age=864000")


@pytest_twisted.ensureDeferred
async def test_changing_file_without_attributes(
    origin: Origin, proxy: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it cannot be recorded that a file changes, it is not kept as one that does not."""

    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("os.setxattr", refuse)
    origin.file(OTHER, headers=["Cache-Control: no-cache"])
    for _ in range(2):
        assert "detail=store" in (await proxy.get(origin.url(OTHER))).cache_status
    origin.file(DEB)
    await proxy.get(origin.url(DEB))
    assert (await proxy.get(origin.url(DEB))).cache_status == "hit"


@pytest.mark.parametrize(
    "date", ["Fri, 31 Dec 9999 23:59:59 -0100", "Mon, 01 Jan 1600 00:00:00 GMT", "nonsense"]
)
@pytest_twisted.ensureDeferred
async def test_clock_of_the_origin_is_wrong(origin: Origin, proxy: Running, date: str) -> None:
    """An absurd Date neither breaks the answer nor hides that the file changes."""
    headers = [f"Date: {date}", "Cache-Control: no-cache"]
    file = origin.file(OTHER, etag='"one"', headers=headers)
    assert (await proxy.get(origin.url(OTHER))).body == file.body
    again = await proxy.get(origin.url(OTHER))
    assert (again.cache_status, again["ETag"]) == ("fwd=stale; fwd-status=304", '"one"')


@pytest_twisted.ensureDeferred
async def test_age_in_caches_before(origin: Origin, proxy: Running) -> None:
    """What was old when it came is older now, and nearer to its end."""
    origin.file(DEB, headers=["Age: 5000"])
    for _ in range(2):
        assert 5000 <= int((await proxy.get(origin.url(DEB)))["Age"]) < 5060
    origin.file(OTHER, etag='"x"', headers=["Cache-Control: max-age=86400", "Age: 86000"])
    await proxy.get(origin.url(OTHER))
    assert (await proxy.get(origin.url(OTHER))).cache_status == "fwd=stale; fwd-status=304"


@pytest_twisted.ensureDeferred
async def test_only_if_cached_is_for_the_cache(origin: Origin, proxy: Running) -> None:
    """504 too where the cache is gone by."""
    origin.file(DEB)
    wanted = ("Cache-Control: only-if-cached", "Authorization: Basic eDp5")
    assert (await proxy.get(origin.url(DEB), *wanted)).status == 504
    assert origin.requests == []


@pytest_twisted.ensureDeferred
async def test_why_upstream_was_asked(origin: Origin, proxy: Running) -> None:
    """fwd says why: nothing stored, stored and to be checked, or the client's wish."""
    doubt = "Cache-Control: no-cache"
    origin.file(INDEX, etag='"x"')
    assert "fwd=uri-miss" in (await proxy.get(origin.url(INDEX), doubt)).cache_status
    assert "fwd=request" in (await proxy.get(origin.url(INDEX), doubt)).cache_status
    assert "fwd=stale" in (await proxy.fetch("HEAD", origin.url(INDEX))).cache_status
    del origin.files[INDEX]
    gone = await proxy.get(origin.url(INDEX))
    assert (gone.status, gone.cache_status) == (404, "fwd=stale; fwd-status=404; detail=status")


@pytest.mark.parametrize(
    ("method", "status", "kept"),
    [("PUT", "201 Created", False), ("DELETE", "204 No Content", False),
     ("POST", "302 Found", False), ("PUT", "403 Forbidden", True), ("OPTIONS", "200 OK", True)],
)  # fmt: skip
@pytest_twisted.ensureDeferred
async def test_what_is_changed_through_us(
    origin: Origin, proxy: Running, method: str, status: str, kept: bool
) -> None:
    """A client that changes a file at the origin makes the stored one invalid."""
    file = origin.file(DEB)
    await proxy.get(origin.url(DEB))
    origin.scripts[DEB] = lambda request: request.answer(status)
    await proxy.fetch(method, origin.url(DEB), "Content-Length: 0")
    await proxy.fetch(method, origin.url("/never/stored"), "Content-Length: 0")
    del origin.scripts[DEB]
    reply = await proxy.get(origin.url(DEB))
    assert (reply.body, reply.cache_status == "hit") == (file.body, kept)
