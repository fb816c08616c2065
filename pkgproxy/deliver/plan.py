"""What of a body answers a request: status, head and parts (RFC 9110 §13.2.2, §14.2)."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from pkgproxy.message.body import Body
from pkgproxy.message.conditions import not_modified, range_applies
from pkgproxy.message.fields import Fields
from pkgproxy.message.heads import (
    CacheStatus,
    Representation,
    RequestHead,
    field_lines,
    status_line,
)
from pkgproxy.message.ranges import Span, Unsatisfiable, content_range, parse_ranges

#: Bytes to send as they are, or a span of the body.
Part = bytes | Span


@dataclass(slots=True)
class Plan:
    """What to send. ``parts`` is None for a body of unknown length: then all of it, as
    it comes, and the head is still without its framing.
    """

    status: int
    head: bytes
    parts: list[Part] | None


def plan(
    request: RequestHead, representation: Representation, body: Body, status: CacheStatus, age: int
) -> Plan:
    """The answer to a GET or HEAD from a body that is there or on its way."""
    head_only = request.method == b"HEAD"
    # Range is defined for GET only.
    wanted = None if head_only else request.fields.get(b"range")
    code, lines, parts = _select(request.fields, wanted, representation, body.length)
    if head_only:
        parts = []
    block = _block(code, representation, multipart=parts is not None and len(parts) > 1)
    head = b"%b%b%bAge: %d\r\nCache-Status: pkgproxy; %b\r\n" % (
        status_line(code), block, lines, age, str(status).encode("ascii"),
    )  # fmt: skip
    return Plan(code, head, parts)


#: Fields that a 304 or 416 has of those that a 200 would have (RFC 9110 §15.4.5).
_WITHOUT_BODY = frozenset(
    {b"cache-control", b"content-location", b"etag", b"expires", b"last-modified", b"vary"}
)


def _block(code: int, stored: Representation, *, multipart: bool) -> bytes:
    """The header lines that describe the representation."""
    if code in (304, 416):
        kept = [item for item in stored.fields if item[0].lower() in _WITHOUT_BODY]
    elif multipart:
        kept = [item for item in stored.fields if item[0].lower() != b"content-type"]
    else:
        return stored.block()
    return field_lines([*kept, *stored.of_each_answer()])


def _select(
    request: Fields, wanted: bytes | None, stored: Representation, length: int | None
) -> tuple[int, bytes, list[Part] | None]:
    """Status, the header lines that depend on it, and the parts."""
    if not_modified(request, stored):
        return 304, b"", []
    if length is None:
        return 200, b"", None
    if wanted is None or not range_applies(request, stored):
        return 200, b"Content-Length: %d\r\n" % length, [(0, length)]
    try:
        spans = parse_ranges(wanted, length)
    except Unsatisfiable:
        return 416, b"Content-Range: bytes */%d\r\nContent-Length: 0\r\n" % length, []
    if spans is None:
        return 200, b"Content-Length: %d\r\n" % length, [(0, length)]
    if len(spans) == 1:
        lines = b"Content-Range: %b\r\nContent-Length: %d\r\n"
        span = spans[0]
        return 206, lines % (content_range(span, length), span[1] - span[0]), [span]
    return _multipart(spans, stored, length)


def _multipart(
    spans: list[Span], stored: Representation, length: int
) -> tuple[int, bytes, list[Part] | None]:
    """Several ranges in one answer (RFC 9110 §14.6)."""
    kind = stored.fields.get(b"content-type") or b"application/octet-stream"
    boundary = _boundary(spans, stored, length)
    parts: list[Part] = []
    for span in spans:
        parts.append(
            b"\r\n--%b\r\nContent-Type: %b\r\nContent-Range: %b\r\n\r\n"
            % (boundary, kind, content_range(span, length))
        )
        parts.append(span)
    parts.append(b"\r\n--%b--\r\n" % boundary)
    size = sum(len(p) if isinstance(p, bytes) else p[1] - p[0] for p in parts)
    lines = b"Content-Type: multipart/byteranges; boundary=%b\r\nContent-Length: %d\r\n"
    return 206, lines % (boundary, size), parts


def _boundary(spans: list[Span], stored: Representation, length: int) -> bytes:
    """A separator that no body will hold, as its author would have to know the requests."""
    seed = repr((spans, stored.etag, stored.date, length)).encode("ascii")
    return sha256(seed).hexdigest()[:32].encode("ascii")
