"""Byte ranges: tables, and a slow model that is obviously right."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from pkgproxy.message.ranges import (
    MAX_RANGES,
    Span,
    Unsatisfiable,
    content_range,
    parse_content_range,
    parse_ranges,
)

LENGTH = 1000
Spec = tuple[int | None, int | None]


@pytest.mark.parametrize(
    ("value", "spans"),
    [
        (b"bytes=0-0", [(0, 1)]),
        (b"bytes=0-499", [(0, 500)]),
        (b"bytes=500-", [(500, 1000)]),
        (b"bytes=0-", [(0, 1000)]),
        (b"bytes=-1", [(999, 1000)]),
        (b"bytes=-1000", [(0, 1000)]),
        (b"bytes=-5000", [(0, 1000)]),
        (b"bytes=990-5000", [(990, 1000)]),
        (b"Bytes = 1-2", [(1, 3)]),
        (b"bytes=1-2,5-6", [(1, 3), (5, 7)]),
        (b"bytes=5-6 , ,\t1-2,", [(5, 7), (1, 3)]),
        (b"bytes=1-2,5000-,-0", [(1, 3)]),
        (b"bytes=0-499,400-899", [(0, 500), (400, 900)]),
        (b"bytes=0-" + b"9" * 5000, [(0, 1000)]),
        (b"bytes=-" + b"9" * 5000, [(0, 1000)]),
        (b"bytes=" + b"0" * 30 + b"5-7", [(5, 8)]),
        (b"bytes=5-" + b"0" * 30 + b"7", [(5, 8)]),
    ],
)
def test_spans(value: bytes, spans: list[Span]) -> None:
    """Single, open, suffix and several ranges, in the client's order."""
    assert parse_ranges(value, LENGTH) == spans


@pytest.mark.parametrize(
    "value",
    [
        None, b"", b"bytes", b"bytes=", b"bytes=,", b"bytes=-", b"bytes=a-b", b"bytes=1", b"=1-2",
        b"bytes=2-1", b"bytes=1-2,2-1", b"bytes=1-2,x", b"bytes=1 - 2", b"bytes=+1-2",
        b"bytes=1-2-3", b"bytes=--1", b"bytes=0x1-2", "bytes=\u0661-\u0662".encode(), b"lines=1-2",
        b"bytes:1-2", b"bytes=1-2, bytes=4-5",
        # more than the whole
        b"bytes=0-,-1", b"bytes=0-999,0-999", b"bytes=" + b"0-," * 100,
    ],
)  # fmt: skip
def test_all_of_it(value: bytes | None) -> None:
    """No range, an invalid one, or more than the whole: the answer is the whole file."""
    assert parse_ranges(value, LENGTH) is None


@pytest.mark.parametrize(
    "value",
    [
        b"bytes=1000-", b"bytes=1000-2000", b"bytes=-0", b"bytes=1000-,-0",
        b"bytes=" + b"9" * 5000 + b"-",
    ],
)  # fmt: skip
def test_unsatisfiable(value: bytes) -> None:
    """A range behind the end is 416."""
    with pytest.raises(Unsatisfiable) as caught:
        parse_ranges(value, LENGTH)
    assert (caught.value.status, caught.value.length) == (416, LENGTH)


@pytest.mark.parametrize("value", [b"bytes=0-", b"bytes=5-9", b"bytes=-5"])
def test_empty_file(value: bytes) -> None:
    """Of an empty file all is sent, which is nothing."""
    assert parse_ranges(value, 0) is None


def test_cap() -> None:
    """zchunk asks for up to 256 ranges at a time; more are answered with the whole file."""
    several = [b"%d-%d" % (i * 2, i * 2) for i in range(MAX_RANGES + 1)]
    spans = parse_ranges(b"bytes=" + b",".join(several[:-1]), LENGTH)
    assert spans == [(i * 2, i * 2 + 1) for i in range(256)]
    assert parse_ranges(b"bytes=" + b",".join(several), LENGTH) is None


def model(specs: list[Spec], length: int) -> list[Span] | type[Unsatisfiable] | None:
    """Each byte is asked whether it is wanted."""
    spans = []
    for first, last in specs:
        if first is not None and last is not None and last < first:
            return None
        if first is None:
            assert last is not None
            wanted = [i for i in range(length) if length - i <= last]
        else:
            wanted = [i for i in range(length) if first <= i and (last is None or i <= last)]
        if wanted:
            assert wanted == list(range(wanted[0], wanted[-1] + 1))
            spans.append((wanted[0], wanted[-1] + 1))
    if not spans:
        return Unsatisfiable
    return None if sum(b - a for a, b in spans) > length else spans


NUMBERS = st.integers(0, 45)
SPECS: st.SearchStrategy[list[Spec]] = st.lists(
    st.tuples(NUMBERS, NUMBERS | st.none()) | st.tuples(st.none(), NUMBERS), min_size=1, max_size=6
)


def written(specs: list[Spec]) -> bytes:
    texts = [f"{'' if a is None else a}-{'' if b is None else b}" for a, b in specs]
    return b"bytes=" + ",".join(texts).encode()


@given(SPECS, st.integers(1, 40))
def test_model(specs: list[Spec], length: int) -> None:
    """Each range means what it says."""
    expected = model(specs, length)
    try:
        assert parse_ranges(written(specs), length) == expected
    except Unsatisfiable:
        assert expected is Unsatisfiable


@given(st.binary(max_size=40), st.integers(0, 40))
def test_anything(garbage: bytes, length: int) -> None:
    """Whatever a client sends: all of it, spans within the file, or 416."""
    try:
        spans = parse_ranges(b"bytes=" + garbage, length) or []
    except Unsatisfiable:
        return
    assert all(0 <= start < stop <= length for start, stop in spans)


@pytest.mark.parametrize(
    ("value", "parsed"),
    [
        (b"bytes 0-0/1", (0, 1, 1)),
        (b"bytes 10-19/100", (10, 20, 100)),
        (None, None),
        (b"bytes 0-9/*", None),
        (b"bytes */100", None),
        (b"bytes 9-0/100", None),
        (b"bytes 0-100/100", None),
        (b"bytes=0-9/100", None),
        (b"bytes 0-9/100, bytes 0-9/100", None),
        (b"lines 0-9/100", None),
        (b"bytes -1-9/100", None),
        (b"bytes 0-9/" + b"9" * 5000, None),
    ],
)
def test_content_range(value: bytes | None, parsed: tuple[int, int, int] | None) -> None:
    """An origin's Content-Range is believed only if it is exact and makes sense."""
    assert parse_content_range(value) == parsed


@given(st.integers(0, 10**9), st.integers(1, 10**9), st.integers(0, 10**9))
def test_content_range_there_and_back(start: int, size: int, rest: int) -> None:
    """What we write we can read."""
    span, length = (start, start + size), start + size + rest
    assert parse_content_range(content_range(span, length)) == (*span, length)
