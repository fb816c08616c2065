"""Header sections: order, repeats and spelling kept; what is for one connection taken out."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from hypothesis import given, strategies as st

from pkgproxy.message.fields import Fields, directives, format_date, parse_date

ITEMS = [
    (b"Server", b"a"),
    (b"X-One", b"1"),
    (b"set-cookie", b"a=1"),
    (b"x-one", b"2"),
    (b"SET-COOKIE", b"b=2"),
]


def test_order_and_repeats() -> None:
    """Fields are passed on in their order, each line of its own and as it was spelt."""
    fields = Fields(iter(ITEMS))
    assert list(fields) == fields.end_to_end() == ITEMS
    assert fields.get(b"x-one") == b"1, 2"
    assert b"server" in fields
    assert b"x-two" not in fields
    assert fields.get(b"x-two") is None


@pytest.mark.parametrize(
    "name",
    [
        b"Connection", b"Keep-Alive", b"Proxy-Authenticate", b"Proxy-Authorization",
        b"Proxy-Connection", b"TE", b"Trailer", b"Transfer-Encoding", b"Upgrade",
    ],
)  # fmt: skip
def test_hop_by_hop(name: bytes) -> None:
    """What is for one connection is not passed on."""
    for spelling in (name, name.lower(), name.upper()):
        assert Fields([(spelling, b"x"), *ITEMS]).end_to_end() == ITEMS


@pytest.mark.parametrize(
    "connection",
    [
        [(b"Connection", b"X-One, close")],
        [(b"connection", b" x-one ;q=1")],
        [(b"Connection", b"close"), (b"CONNECTION", b",X-ONE,")],
    ],
)
def test_named_by_connection(connection: list[tuple[bytes, bytes]]) -> None:
    """Nor is a field that Connection names."""
    kept = Fields([*connection, *ITEMS]).end_to_end()
    assert kept == [item for item in ITEMS if item[0].lower() != b"x-one"]


def test_without() -> None:
    """The caller may leave out more."""
    names = [name for name, _ in Fields(ITEMS).end_to_end(b"x-one", b"server")]
    assert names == [b"set-cookie", b"SET-COOKIE"]


def test_tokens() -> None:
    """A list over several lines is one list; case, blanks and empty members do not count."""
    fields = Fields([(b"Vary", b"Accept-Encoding, ,Origin;x"), (b"vary", b" ORIGIN")])
    assert fields.tokens(b"vary") == {b"accept-encoding", b"origin"}
    assert fields.tokens(b"te") == set()


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (None, {}),
        (b"", {}),
        (b" , ,", {}),
        (b"No-Cache", {b"no-cache": None}),
        (b"max-age=60,private", {b"max-age": b"60", b"private": None}),
        (b'private="set-cookie", S-MAXAGE="5"', {b"private": b"set-cookie", b"s-maxage": b"5"}),
        (b"max-age=", {b"max-age": b""}),
    ],
)
def test_directives(value: bytes | None, found: dict[bytes, bytes | None]) -> None:
    """Cache-Control is read whatever its case and its quotes."""
    assert directives(value) == found


@pytest.fixture(params=["UTC", "America/New_York", "Asia/Kathmandu"])
def time_zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine somewhere."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("time_zone")
@pytest.mark.parametrize(
    "value",
    [
        b"Sun, 06 Nov 1994 08:49:37 GMT",
        b"Sunday, 06-Nov-94 08:49:37 GMT",
        b"Sun Nov  6 08:49:37 1994",
    ],
)
def test_dates(value: bytes) -> None:
    """All three forms of a date are understood, and are in GMT wherever the proxy runs."""
    assert parse_date(value) == 784_111_777


@pytest.mark.parametrize(
    "value",
    [
        None, b"", b"0", b"-1", b"now", b"784111777", b"Sun, 06 Nov 1994", b"\xff",
        b"Sun, 99 Nov 1994 08:49:37 GMT", b"Sun, 06 Nov 1994 08:99:37 GMT",
        b"Sun, 06 Nov 99999999 08:49:37 GMT", b"Sun, 06 Nov 1994 08:49:37 +9999",
    ],
)  # fmt: skip
def test_no_dates(value: bytes | None) -> None:
    """What is no date is none, and no error."""
    assert parse_date(value) is None


@given(st.binary(max_size=40) | st.text("Sun, 06Nov1994 :GMT+-", max_size=40).map(str.encode))
def test_any_date(value: bytes) -> None:
    """Whatever an origin sends as a date, reading it is no error."""
    parse_date(value)


@given(st.integers(0, 253_402_300_799))
def test_date_there_and_back(seconds: int) -> None:
    """A date that is written is read as the same second."""
    assert format_date(seconds).endswith(b" GMT")
    assert parse_date(format_date(seconds)) == seconds
