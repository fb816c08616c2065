"""What of a body answers a request: status, head and parts."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from pkgproxy.deliver.plan import Plan, plan
from pkgproxy.message.fields import Field, Fields
from pkgproxy.message.heads import HIT, CacheStatus, Representation, RequestHead
from pkgproxy.message.ranges import parse_content_range
from pkgproxy.store.entry import Entry

DATA = bytes(range(256)) * 4
DATE = 784_111_777.0
STORED: list[Field] = [
    (b"Content-Type", b"application/x-deb"),
    (b"ETag", b'"a"'),
    (b"Last-Modified", b"Sat, 05 Nov 1994 08:49:37 GMT"),
    (b"Cache-Control", b"max-age=60"),
    (b"X-One", b"1"),
    (b"x-one", b"2"),
]
EACH: list[Field] = [
    (b"Date", b"Sun, 06 Nov 1994 08:49:37 GMT"),
    (b"Accept-Ranges", b"bytes"),
    (b"Via", b"1.1 pkgproxy"),
]
OF_ALL = [(b"Age", b"7"), (b"Cache-Status", b"pkgproxy; hit")]


def answer(
    *fields: Field,
    method: bytes = b"GET",
    length: int | None = len(DATA),
    stored: list[Field] = STORED,
    status: CacheStatus = HIT,
) -> Plan:
    request = RequestHead(method, b"http://example.org/x", "1.1", Fields(fields))
    body = Entry(-1, 0, Representation(Fields(stored), DATE, DATE, length))
    body.length = length
    return plan(request, body.representation, body, status, 7)


def head(it: Plan) -> tuple[bytes, list[Field]]:
    """The status line and the fields; the empty line is not the plan's."""
    first, *lines = it.head.removesuffix(b"\r\n").split(b"\r\n")
    pairs = [line.partition(b": ") for line in lines]
    return first, [(name, value) for name, _, value in pairs]


def sent(it: Plan, data: bytes = DATA) -> bytes:
    assert it.parts is not None
    return b"".join(p if isinstance(p, bytes) else data[p[0] : p[1]] for p in it.parts)


def parts(it: Plan, data: bytes) -> list[tuple[Fields, bytes]]:
    """The parts of a multipart body, found by its boundary alone."""
    fields = Fields(head(it)[1])
    kind, _, boundary = (fields.get(b"content-type") or b"").partition(b"; boundary=")
    assert kind == b"multipart/byteranges"
    assert sum(name.lower() == b"content-type" for name, _ in fields) == 1
    assert b"content-range" not in fields
    body = sent(it, data)
    assert fields.get(b"content-length") == b"%d" % len(body)
    before, *found, after = body.split(b"\r\n--" + boundary)
    assert (before, after) == (b"", b"--\r\n")
    result = []
    for part in found:
        lines, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        pairs = [line.partition(b": ") for line in lines.split(b"\r\n")]
        result.append((Fields((name, value) for name, _, value in pairs), content))
    return result


def test_whole() -> None:
    """All of it, with all that the origin said, in its order."""
    it = answer()
    assert it.status == 200
    first, fields = head(it)
    assert first == b"HTTP/1.1 200 OK"
    assert fields == [*STORED, *EACH, (b"Content-Length", b"1024"), *OF_ALL]
    assert sent(it) == DATA


def test_cache_status() -> None:
    """Every answer says where it came from."""
    status = CacheStatus(fwd="stale", fwd_status=304, stored=True, collapsed=True, detail="x")
    fields = Fields(head(answer(status=status))[1])
    said = b"pkgproxy; fwd=stale; fwd-status=304; stored; collapsed; detail=x"
    assert fields.get(b"cache-status") == said


@pytest.mark.parametrize(
    ("value", "start", "stop"),
    [(b"bytes=0-0", 0, 1), (b"bytes=1000-", 1000, 1024), (b"bytes=-5", 1019, 1024)],
)
def test_single_range(value: bytes, start: int, stop: int) -> None:
    """One range is a 206 of just these bytes."""
    it = answer((b"Range", value))
    assert it.status == 206
    first, fields = head(it)
    assert first == b"HTTP/1.1 206 Partial Content"
    of_the_range = [
        (b"Content-Range", b"bytes %d-%d/1024" % (start, stop - 1)),
        (b"Content-Length", b"%d" % (stop - start)),
    ]
    assert fields == [*STORED, *EACH, *of_the_range, *OF_ALL]
    assert sent(it) == DATA[start:stop]


SPANS = st.lists(st.tuples(st.integers(0, 59), st.integers(1, 60)), min_size=2, max_size=6)


@given(SPANS, st.binary(min_size=60, max_size=60))
def test_multipart(spans: list[tuple[int, int]], data: bytes) -> None:
    """Several ranges are the very bytes of the file, each with its place and its type."""
    spans = [(start, min(start + size, 60)) for start, size in spans]
    value = b"bytes=" + b",".join(b"%d-%d" % (start, stop - 1) for start, stop in spans)
    it = answer((b"Range", value), length=60)
    if sum(stop - start for start, stop in spans) > 60:
        assert (it.status, sent(it, data)) == (200, data)
        return
    assert it.status == 206
    found = parts(it, data)
    assert len(found) == len(spans)
    for (start, stop), (fields, content) in zip(spans, found, strict=True):
        assert content == data[start:stop]
        assert parse_content_range(fields.get(b"content-range")) == (start, stop, 60)
        assert fields.get(b"content-type") == b"application/x-deb"


def test_multipart_head() -> None:
    """The head of several ranges says all else of the file; its own type is multipart."""
    _, fields = head(answer((b"Range", b"bytes=0-1,5-6"), stored=STORED))
    assert fields[: len(STORED) - 1] == STORED[1:]
    assert [item for item in fields if item in EACH] == EACH
    untyped = answer((b"Range", b"bytes=0-1,5-6"), stored=[])
    kinds = {part.get(b"content-type") for part, _ in parts(untyped, DATA)}
    assert kinds == {b"application/octet-stream"}


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ([(b"Range", b"bytes=0-1"), (b"If-Range", b'"a"')], 206),
        ([(b"Range", b"bytes=0-1"), (b"If-Range", b'"b"')], 200),
        ([(b"Range", b"bytes=5000-"), (b"If-Range", b'"b"')], 200),
        ([(b"Range", b"bytes=0-,0-")], 200),
        ([(b"Range", b"lines=0-1")], 200),
        ([(b"Range", b"bytes=0-1"), (b"If-None-Match", b'"a"')], 304),
        ([(b"Range", b"bytes=5000-"), (b"If-None-Match", b'"a"')], 304),
        ([(b"Range", b"bytes=0-1"), (b"If-None-Match", b'"b"')], 206),
    ],
)
def test_order_of_conditions(fields: list[Field], status: int) -> None:
    """First whether anything is needed, then whether the range counts, then the range."""
    it = answer(*fields)
    assert it.status == status
    expected = {200: DATA, 206: DATA[:2], 304: b""}
    assert sent(it) == expected[status]


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
@pytest.mark.parametrize("length", [len(DATA), None])
@pytest.mark.parametrize(
    "field",
    [(b"If-None-Match", b'W/"a"'), (b"If-Modified-Since", b"Sun, 06 Nov 1994 08:49:37 GMT")],
)
def test_not_modified(method: bytes, length: int | None, field: Field) -> None:
    """A 304 has what a cache needs to freshen its copy, and nothing of a body."""
    it = answer(field, method=method, length=length)
    assert (it.status, it.parts) == (304, [])
    first, fields = head(it)
    assert first == b"HTTP/1.1 304 Not Modified"
    assert fields == [*STORED[1:4], *EACH, *OF_ALL]


@pytest.mark.parametrize("value", [b"bytes=1024-", b"bytes=5000-6000", b"bytes=-0"])
def test_unsatisfiable(value: bytes) -> None:
    """A 416 says how long the file is, so that a client that has it all can tell."""
    it = answer((b"Range", value))
    assert (it.status, it.parts) == (416, [])
    first, fields = head(it)
    assert first.startswith(b"HTTP/1.1 416 ")
    length = [(b"Content-Range", b"bytes */1024"), (b"Content-Length", b"0")]
    assert fields == [*STORED[1:4], *EACH, *length, *OF_ALL]


@pytest.mark.parametrize(
    "value", [None, b"bytes=0-1", b"bytes=0-1,5-6", b"bytes=5000-", b"bytes=-5"]
)
def test_head(value: bytes | None) -> None:
    """HEAD is the head of the whole, with its length and no body: a Range counts for GET
    only (RFC 9110 §14.2).
    """
    fields = [] if value is None else [(b"Range", value)]
    it = answer(*fields, method=b"HEAD")
    assert (it.status, it.parts) == (200, [])
    assert it.head == answer().head


def test_empty() -> None:
    """An empty file is whole at once, whatever range is asked for."""
    for fields in ([], [(b"Range", b"bytes=0-")]):
        it = answer(*fields, length=0)
        assert (it.status, sent(it)) == (200, b"")
        assert Fields(head(it)[1]).get(b"content-length") == b"0"


@pytest.mark.parametrize("fields", [[], [(b"Range", b"bytes=0-1")], [(b"Range", b"bytes=9000-")]])
def test_unknown_length(fields: list[Field]) -> None:
    """While nobody knows how long it will be, all of it is sent as it comes."""
    it = answer(*fields, length=None)
    assert (it.status, it.parts) == (200, None)
    assert head(it)[1] == [*STORED, *EACH, *OF_ALL]
    it = answer(*fields, length=None, method=b"HEAD")
    assert (it.status, it.parts) == (200, [])
