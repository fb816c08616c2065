"""Conditional requests on a stored representation (RFC 9110 §13, RFC 9111 §4.3.2)."""

from __future__ import annotations

import re

from pkgproxy.message.fields import Fields, parse_date
from pkgproxy.message.heads import Representation

_ETAG = re.compile(rb'(?:W/)?"[^"]*"')


def not_modified(request: Fields, stored: Representation) -> bool:
    """Whether what the client has is the stored representation.

    If-Modified-Since counts only without If-None-Match (RFC 9110 §13.2.2).
    """
    tags = request.get(b"if-none-match")
    if tags is not None:
        return _matches(tags, stored.etag)
    since = parse_date(request.get(b"if-modified-since"))
    if since is None:
        return False
    modified = parse_date(stored.last_modified)
    return modified is not None and modified <= since


def _matches(tags: bytes, etag: bytes | None) -> bool:
    """The weak comparison (RFC 9110 §8.8.3.2)."""
    if tags.strip() == b"*":
        return True
    if etag is None:
        return False
    opaque = etag.removeprefix(b"W/")
    return any(tag.removeprefix(b"W/") == opaque for tag in _ETAG.findall(tags))


def range_applies(request: Fields, stored: Representation) -> bool:
    """Whether If-Range lets the Range field count (RFC 9110 §13.1.5)."""
    condition = request.get(b"if-range")
    if condition is None:
        return True
    if condition.startswith((b'"', b"W/")):
        return condition == stored.etag and not condition.startswith(b"W/")
    wanted = parse_date(condition)
    same = wanted is not None and wanted == parse_date(stored.last_modified)
    return same and stored.has_strong_date()
