"""May this be shared, may it be kept, does it change?"""

from __future__ import annotations

import re

import pytest

from pkgproxy.cache.policy import (
    bypass_reason,
    changes,
    forwarded,
    only_if_cached,
    shared,
    unshareable_reason,
    wants_check,
)
from pkgproxy.filters import Action, Rule, Rules
from pkgproxy.http1.response import Framing
from pkgproxy.message.fields import Field, Fields
from pkgproxy.message.heads import RequestHead, ResponseHead

NOW = 784_111_777.0
DATE: Field = (b"Date", b"Sun, 06 Nov 1994 08:49:37 GMT")


def fields(*lines: str) -> Fields:
    pairs = [line.partition(": ") for line in lines]
    return Fields((name.encode(), value.encode()) for name, _, value in pairs)


@pytest.mark.parametrize(
    ("method", "action", "lines", "has_body", "reason"),
    [
        (b"GET", "cache", [], False, None),
        (b"HEAD", "cache", [], False, None),
        (b"GET", "auto", ["Range: bytes=0-1", "Cache-Control: no-cache"], False, None),
        (b"GET", "revalidate", ["Accept: a/b"], False, None),
        (b"GET", "pass", [], False, "rule"),
        (b"POST", "cache", [], False, "method"),
        (b"OPTIONS", "cache", [], False, "method"),
        (b"get", "cache", [], False, "method"),
        (b"GET", "cache", [], True, "method"),
        (b"GET", "cache", ["Authorization: Basic eA=="], False, "credentials"),
        (b"GET", "cache", ["cookie: a=b"], False, "credentials"),
        (b"GET", "cache", ["Proxy-Authorization: Basic eA=="], False, None),
        (b"GET", "cache", ["Cache-Control: max-age=5, No-Store"], False, "no-store"),
    ],
)
def test_bypass(
    method: bytes, action: str, lines: list[str], has_body: bool, reason: str | None
) -> None:
    """What is one client's own is neither stored nor served from the store."""
    head = RequestHead(method, b"http://example.org/", "1.1", fields(*lines))
    rule = Rule(Action(action), re.compile(""), "test")
    assert bypass_reason(head, rule, has_body=has_body) == reason


@pytest.mark.parametrize(
    ("lines", "checks", "only"),
    [
        ([], False, False),
        (["Cache-Control: no-cache"], True, False),
        (["cache-control: foo, NO-CACHE"], True, False),
        (["Cache-Control: max-age=0"], True, False),
        (["Cache-Control: max-age=60"], False, False),
        (["Cache-Control: no-store"], False, False),
        (["Pragma: no-cache"], True, False),
        (["Pragma: no-cache", "Cache-Control: max-age=60"], False, False),
        (["Pragma: x"], False, False),
        (["Cache-Control: only-if-cached"], False, True),
        (["Cache-Control: max-stale=5, Only-If-Cached"], False, True),
    ],
)
def test_what_a_client_asks(lines: list[str], checks: bool, only: bool) -> None:
    """A client may ask for a check with the origin, or for none; Pragma only alone."""
    assert wants_check(fields(*lines), Rules().match("http://h/notes")) is checks
    assert only_if_cached(fields(*lines)) is only


def test_max_age_of_what_never_changes() -> None:
    """apt says max-age=0 of indexes that their own hash names; no-cache is still obeyed."""
    package = Rules().match("http://h/a_1_all.deb")
    assert not wants_check(fields("Cache-Control: max-age=0"), package)
    assert wants_check(fields("Cache-Control: no-cache"), package)


@pytest.mark.parametrize(
    ("status", "framing", "lines", "reason"),
    [
        (200, "length", [], None),
        (200, "chunked", [], None),
        (200, "length", ["Cache-Control: no-cache, max-age=0"], None),
        (200, "length", ["Vary: Accept-Encoding"], None),
        (200, "length", ["Vary: accept-encoding, ", "vary: ACCEPT-ENCODING"], None),
        (206, "length", [], "status"),
        (203, "length", [], "status"),
        (404, "length", [], "status"),
        (500, "length", [], "status"),
        (200, "close", [], "no-length"),
        (200, "length", ["Cache-Control: max-age=60, Private"], "cache-control"),
        (200, "length", ['Cache-Control: private="x"'], "cache-control"),
        (200, "length", ["Cache-Control: no-store"], "cache-control"),
        (200, "length", ["Set-Cookie: a=b"], "set-cookie"),
        (200, "length", ["Vary: *"], "vary"),
        (200, "length", ["Vary: Accept-Encoding, User-Agent"], "vary"),
        (200, "length", ["Vary: Accept-Encoding", "Vary: Cookie"], "vary"),
    ],
)
def test_unshareable(status: int, framing: str, lines: list[str], reason: str | None) -> None:
    """Only a whole answer that is the same for everybody is kept for all."""
    head = ResponseHead(status, fields(*lines))
    assert unshareable_reason(head, Framing(framing)) == reason


@pytest.mark.parametrize(
    ("lines", "answer"),
    [
        ([], False),
        (["Cache-Control: public, immutable"], False),
        (["Cache-Control: max-age=86400"], False),
        (["Cache-Control: max-age=31536000"], False),
        (["Cache-Control: max-age=" + "9" * 5000], False),
        (["Cache-Control: max-age=86399"], True),
        (["Cache-Control: max-age=0"], True),
        (["Cache-Control: No-Cache"], True),
        (["Cache-Control: max-age=31536000, must-revalidate"], True),
        (["Cache-Control: max-age=60, s-maxage=31536000"], False),
        (["Cache-Control: max-age=31536000", "Cache-Control: s-maxage=60"], True),
        (["Cache-Control: max-age=31536000", "Expires: 0"], False),
        (["Cache-Control: max-age=60", "Expires: Sun, 06 Nov 2094 08:49:37 GMT"], True),
        (["Cache-Control: public", "Expires: 0"], True),
        (["Expires: 0"], True),
        (["Expires: -1"], True),
        (["Expires: Sat, 05 Nov 1994 08:49:37 GMT"], True),
        (["Expires: Mon, 07 Nov 1994 08:49:36 GMT"], True),
        (["Expires: Mon, 07 Nov 1994 08:49:37 GMT"], False),
        (["Expires: Tue, 08 Nov 1994 08:49:37 GMT"], False),
        # nonsense is in the past, as an invalid Expires is (RFC 9111 §4.2.1)
        (["Cache-Control: max-age=-1"], True),
        (["Cache-Control: max-age=soon"], True),
    ],
)
def test_changes(lines: list[str], answer: bool) -> None:
    """A file that no rule names is a package unless its origin says that it will not be good
    for a day.
    """
    assert changes(ResponseHead(200, fields(*lines)), NOW) is answer


@pytest.mark.parametrize(("date", "answer"), [(0, False), (1, True)])
def test_expires_counts_from_the_date(date: int, answer: bool) -> None:
    """Expires is a point on the origin's clock; ours counts only if it sends no Date."""
    dates = [b"Sun, 06 Nov 1994 08:49:37 GMT", b"Mon, 07 Nov 1994 08:49:37 GMT"]
    expires = (b"Expires", b"Mon, 07 Nov 1994 08:49:37 GMT")
    head = ResponseHead(200, Fields([(b"Date", dates[date]), expires]))
    assert changes(head, NOW + 10 * 86_400) is answer
    assert changes(ResponseHead(200, Fields([expires])), NOW + 1) is True


CLIENT = fields(
    "Host: example.org", "User-Agent: apt", "Range: bytes=0-1", 'If-Range: "a"',
    'If-Match: "a"', 'If-None-Match: "a"', "If-Modified-Since: now", "If-Unmodified-Since: now",
    "Accept-Encoding: br", "Expect: 100-continue", "Content-Length: 0", "Connection: x-mine",
    "X-Mine: 1", "X-Two: 1", "TE: gzip", "Proxy-Authorization: Basic eA==", "x-two: 2",
    "Cache-Control: no-cache",
)  # fmt: skip


def test_shared() -> None:
    """On behalf of all the whole, uncoded file is asked for: no ranges, no conditions of one."""
    assert shared(CLIENT) == [
        (b"User-Agent", b"apt"),
        (b"X-Two", b"1"),
        (b"x-two", b"2"),
        (b"Cache-Control", b"no-cache"),
        (b"Accept-Encoding", b"identity"),
        (b"Via", b"1.1 pkgproxy"),
    ]


def test_forwarded() -> None:
    """What passes through keeps everything that is from end to end."""
    names = [name for name, _ in forwarded(CLIENT)]
    assert names == [
        b"User-Agent", b"Range", b"If-Range", b"If-Match", b"If-None-Match", b"If-Modified-Since",
        b"If-Unmodified-Since", b"Accept-Encoding", b"Expect", b"X-Two", b"x-two",
        b"Cache-Control", b"Via",
    ]  # fmt: skip


def test_via() -> None:
    """Each proxy adds itself behind the earlier ones."""
    passed = Fields(forwarded(fields("via: 1.0 one", "X: y", "Via: 1.1 two")))
    assert passed.get(b"via") == b"1.0 one, 1.1 two, 1.1 pkgproxy"
    assert passed.get(b"x") == b"y"
    assert Fields(shared(fields("Via: 1.0 one"))).get(b"via") == b"1.0 one, 1.1 pkgproxy"
