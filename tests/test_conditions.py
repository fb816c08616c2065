"""Conditional requests: has the client got what is stored, and does its Range count?"""

from __future__ import annotations

import pytest

from pkgproxy.message.conditions import not_modified, range_applies
from pkgproxy.message.fields import Fields, format_date
from pkgproxy.message.heads import Representation

MODIFIED = 784_111_777.0
LATER = b"Sun, 06 Nov 1994 08:49:38 GMT"
SAME = b"Sun, 06 Nov 1994 08:49:37 GMT"
SAME_RFC850 = b"Sunday, 06-Nov-94 08:49:37 GMT"
EARLIER = b"Sun, 06 Nov 1994 08:49:36 GMT"


def stored(
    etag: bytes | None, last_modified: bytes | None = SAME, date: float = MODIFIED + 86_400
) -> Representation:
    pairs = [(b"ETag", etag), (b"Last-Modified", last_modified)]
    return Representation(Fields((n, v) for n, v in pairs if v is not None), date, date)


@pytest.mark.parametrize(
    ("tags", "etag", "answer"),
    [
        (b'"a"', b'"a"', True),
        (b'"b"', b'"a"', False),
        (b'"b", "a"', b'"a"', True),
        (b'"b","a" ,"c"', b'"a"', True),
        (b'W/"a"', b'"a"', True),
        (b'"a"', b'W/"a"', True),
        (b'W/"a"', b'W/"a"', True),
        (b'"a,b"', b'"a,b"', True),
        (b'"a,b"', b'"b"', False),
        (b'"A"', b'"a"', False),
        (b'"aa"', b'"a"', False),
        (b"a", b'"a"', False),
        (b" * ", b'"a"', True),
        (b"*", None, True),
        (b'"*"', b'"a"', False),
        (b'"a"', None, False),
        (b"", b'"a"', False),
        (b'""', b'""', True),
    ],
)
def test_if_none_match(tags: bytes, etag: bytes | None, answer: bool) -> None:
    """Weak comparison: who holds any of these tags need not be sent the file again."""
    assert not_modified(Fields([(b"If-None-Match", tags)]), stored(etag)) is answer


@pytest.mark.parametrize(
    ("since", "modified", "answer"),
    [
        (SAME, SAME, True),
        (SAME_RFC850, SAME, True),
        (LATER, SAME, True),
        (EARLIER, SAME, False),
        (b"yesterday", SAME, False),
        (b"", SAME, False),
        (SAME, b"yesterday", False),
        (SAME, None, False),
    ],
)
def test_if_modified_since(since: bytes, modified: bytes | None, answer: bool) -> None:
    """A file that is no newer than the client's is not sent again."""
    assert not_modified(Fields([(b"If-Modified-Since", since)]), stored(None, modified)) is answer


@pytest.mark.parametrize(("tag", "since"), [(b'"b"', LATER), (b'"a"', EARLIER)])
def test_the_tag_decides(tag: bytes, since: bytes) -> None:
    """If-Modified-Since counts only without If-None-Match."""
    request = Fields([(b"If-Modified-Since", since), (b"If-None-Match", tag)])
    assert not_modified(request, stored(b'"a"')) is (tag == b'"a"')


def test_no_condition() -> None:
    """Without a condition everything is sent, and every range counts."""
    assert not not_modified(Fields(), stored(b'"a"'))
    assert range_applies(Fields(), stored(b'"a"'))


@pytest.mark.parametrize(
    ("condition", "etag", "modified", "answer"),
    [
        (b'"a"', b'"a"', SAME, True),
        (b'"b"', b'"a"', SAME, False),
        (b'"a"', None, SAME, False),
        (b'"a"', b'W/"a"', SAME, False),
        (b'W/"a"', b'W/"a"', SAME, False),
        (b'W/"a"', b'"a"', SAME, False),
        (SAME, b'"a"', SAME, True),
        (SAME, None, SAME, True),
        (SAME_RFC850, None, SAME, True),
        (EARLIER, None, SAME, False),
        (LATER, None, SAME, False),
        (SAME, None, None, False),
        (b"yesterday", None, SAME, False),
        (b"yesterday", None, b"yesterday", False),
        (b"yesterday", None, None, False),
        (b"", b'"a"', SAME, False),
        (b"a", b'"a"', SAME, False),
    ],
)
def test_if_range(
    condition: bytes, etag: bytes | None, modified: bytes | None, answer: bool
) -> None:
    """The rest of a file is sent only to who has the beginning of the same one: strong
    comparison of tags, the very same second of dates.
    """
    assert range_applies(Fields([(b"If-Range", condition)]), stored(etag, modified)) is answer


def test_if_range_with_a_weak_date() -> None:
    """A file that was modified in the second it was sent may have been modified again in
    that second: its date says nothing about which of the two one has (RFC 9110 §8.8.2.2).
    """
    request = Fields([(b"If-Range", SAME)])
    assert not range_applies(request, stored(None, SAME, MODIFIED))
    assert range_applies(request, stored(None, SAME, MODIFIED + 1))


@pytest.mark.parametrize(
    ("etag", "modified", "date", "validator"),
    [
        (b'"a"', SAME, MODIFIED + 60, b'"a"'),
        (b'"a"', None, MODIFIED + 60, b'"a"'),
        (None, SAME, MODIFIED + 60, SAME),
        (None, SAME, MODIFIED + 1, SAME),
        (None, None, MODIFIED + 60, None),
        (b'W/"a"', None, MODIFIED + 60, None),
        # weak, as the file may change again in the same second
        (None, SAME, MODIFIED, None),
        # nothing but the tag may be sent if there is one (RFC 9110 §13.1.5)
        (b'W/"a"', SAME, MODIFIED + 60, None),
    ],
)
def test_strong_validator(
    etag: bytes | None, modified: bytes | None, date: float, validator: bytes | None
) -> None:
    """Two parts are put together only if they are surely of one version."""
    assert stored(etag, modified, date).strong_validator() == validator


def test_age() -> None:
    """Age is whole seconds, and never negative when a clock goes back."""
    it = stored(None, format_date(0), 100.0)
    assert [it.age(now) for now in (99.0, 100.0, 101.9)] == [0, 0, 1]
