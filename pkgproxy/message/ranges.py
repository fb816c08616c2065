"""Byte ranges (RFC 9110 §14): which parts of a body a Range field asks for."""

from __future__ import annotations

import re

from pkgproxy.message.errors import ClientError

#: A half-open interval of byte offsets: ``[start, stop)``.
Span = tuple[int, int]

#: More ranges than this in one field are answered with the whole body. zchunk asks for up
#: to 256 at a time.
MAX_RANGES = 256

#: Longer numbers are beyond every file; they must not reach int(), which is quadratic.
_MAX_DIGITS = 18

_SPEC = re.compile(rb"([0-9]+)-([0-9]*)|-([0-9]+)")


class Unsatisfiable(ClientError):
    """No requested range overlaps the body."""

    def __init__(self, length: int) -> None:
        super().__init__(f"No requested range lies within the {length} bytes there are.", 416)
        self.length = length


def parse_ranges(value: bytes | None, length: int) -> list[Span] | None:
    """The spans that a Range field selects of a body of ``length`` bytes, in its order.

    None when the field is absent, invalid, of another unit, or asks for more than the
    whole body is: then all of it is the answer (RFC 9110 §14.2).  Raises Unsatisfiable.
    """
    specs = _split(value)
    if not specs or not length:
        return None
    spans = []
    for spec in specs:
        match = _SPEC.fullmatch(spec)
        if match is None or (match[2] and _number(match[2]) < _number(match[1])):
            return None
        start, stop = _resolve(match, length)
        if start < stop:
            spans.append((start, stop))
    if not spans:
        raise Unsatisfiable(length)
    if sum(stop - start for start, stop in spans) > length:
        return None
    return spans


def _split(value: bytes | None) -> list[bytes]:
    unit, equals, rest = (value or b"").partition(b"=")
    if unit.strip().lower() != b"bytes" or not equals or rest.count(b",") >= MAX_RANGES:
        return []
    specs = [spec.strip(b" \t") for spec in rest.split(b",")]
    # Empty list elements are allowed (RFC 9110 §5.6.1.2).
    return [spec for spec in specs if spec]


def _number(digits: bytes) -> int:
    digits = digits.lstrip(b"0") or b"0"
    return int(digits) if len(digits) <= _MAX_DIGITS else int(b"9" * _MAX_DIGITS)


def _resolve(match: re.Match[bytes], length: int) -> Span:
    first, last, suffix = match.groups()
    if suffix is not None:
        return max(0, length - _number(suffix)), length
    return _number(first), min(length, _number(last) + 1) if last else length


def content_range(span: Span, length: int) -> bytes:
    """The value of a Content-Range field for one part."""
    return b"bytes %d-%d/%d" % (span[0], span[1] - 1, length)


_CONTENT_RANGE = re.compile(rb"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})")


def parse_content_range(value: bytes | None) -> tuple[int, int, int] | None:
    """Start, stop and total length of a Content-Range field, or None."""
    match = _CONTENT_RANGE.fullmatch(value or b"")
    if match is None:
        return None
    start, last, total = (int(group) for group in match.groups())
    return (start, last + 1, total) if start <= last < total else None
