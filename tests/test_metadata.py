"""What describes a stored body: an extended attribute, or what a file itself can say."""

from __future__ import annotations

import errno
import json
import os
from mimetypes import MimeTypes
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from pkgproxy.message.errors import StoreError
from pkgproxy.message.fields import Field, Fields, parse_date
from pkgproxy.message.heads import Representation
from pkgproxy.store import Store, metadata
from pkgproxy.store.entry import guess
from pkgproxy.store.metadata import Metadata, decode, encode
from tests.test_store import (
    DATA,
    ETAG,
    KEY,
    KIND,
    MODIFIED,
    NOW,
    body,
    copy_in,
    described,
    file_of,
    found,
    keep,
    leave,
    partials,
    refusing,
)

FIELDS: list[Field] = [KIND, ETAG, (b"X-Odd", b'\xe9 "quoted" \\ \t'), (b"x-odd", b"")]
GOOD: dict[str, object] = {
    "key": KEY, "length": 5, "date": 1.5, "checked": 2.5, "changes": False, "fields": [],
}  # fmt: skip
BAD: list[tuple[str, object]] = [
    ("fields", None), ("fields", [["a"]]), ("fields", [[1, 2]]), ("fields", [["\u0416", ""]]),
    ("length", "five"), ("length", []), ("length", float("inf")), ("date", None), ("date", "now"),
    ("date", float("nan")), ("date", 1e300), ("checked", {}), ("checked", float("inf")),
]  # fmt: skip


def with_fields(fields: list[Field], length: int | None = 5) -> Metadata:
    return Metadata(KEY, Representation(Fields(fields), 1.5, 2.5, length, changes=True))


def same(a: Metadata | None, b: Metadata) -> bool:
    """A representation also holds what was computed from it."""
    assert a is not None
    one, two = a.representation, b.representation
    return (a.key, one.fields.items, one.date, one.checked, one.length, one.changes) == (
        b.key, two.fields.items, two.date, two.checked, two.length, two.changes,
    )  # fmt: skip


@given(
    st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=40)), max_size=10),
    st.none() | st.integers(0, 2**62),
)
def test_there_and_back(fields: list[Field], length: int | None) -> None:
    """Everything comes back as it was: order, repeats, spelling, any byte."""
    it = with_fields(fields, length)
    assert same(decode(encode(it)), it)


def test_small_enough() -> None:
    """A header section that does not fit is cut down to what a client cannot do without."""
    coding, control = (b"Content-Encoding", b"gzip"), (b"Cache-Control", b"max-age=5")
    essential: list[Field] = [KIND, coding, ETAG, MODIFIED, control]
    value = encode(with_fields([(b"X-Policy", b"p" * 3000), *essential, (b"X-More", b"m" * 500)]))
    assert len(value) <= 2500
    assert same(decode(value), with_fields(essential))


@pytest.mark.parametrize(
    "value",
    [
        b"", b"{", b"null", b"[]", b"5", b"{}", b"\xff\xfe", b'"text"',
        *(json.dumps({**GOOD, name: bad}).encode() for name, bad in BAD),
        *(json.dumps({n: v for n, v in GOOD.items() if n != name}).encode() for name in GOOD),
    ],
)  # fmt: skip
def test_not_ours(value: bytes) -> None:
    """An attribute that is damaged, or somebody else's, is no metadata: never a crash later."""
    with pytest.raises(ValueError, match="not metadata of ours"):
        decode(value)


@given(st.binary(max_size=60))
def test_anything(value: bytes) -> None:
    """Whatever is in the attribute, reading it ends well."""
    with pytest.raises(ValueError, match="not metadata of ours"):
        decode(value)


def test_on_a_file(tmp_path: Path) -> None:
    """It travels with the file, through a rename; a damaged one is as good as none."""
    with (tmp_path / "x").open("wb") as file:
        assert metadata.read(file.fileno()) is None
        metadata.write(file.fileno(), with_fields(FIELDS))
    path = (tmp_path / "x").rename(tmp_path / "y")
    with path.open("rb") as file:
        assert same(metadata.read(file.fileno()), with_fields(FIELDS))
        os.setxattr(path, metadata.ATTRIBUTE, b"{")
        assert metadata.read(file.fileno()) is None


# What becomes of it in the store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(tmp_path / "cache")


@pytest.fixture
def no_attributes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without extended attributes."""
    monkeypatch.setattr(os, "setxattr", refusing(errno.ENOTSUP))
    monkeypatch.setattr(os, "getxattr", refusing(errno.ENOTSUP))


@pytest.mark.usefixtures("no_attributes")
def test_no_attributes(store: Store) -> None:
    """Where there are no extended attributes, a file's time and name have to do, and nobody
    knows what a partial is the beginning of.
    """
    key = "example.org/x.html"
    keep(store, key, DATA, ETAG, KIND, MODIFIED)
    answer = found(store, key)
    assert answer is not None
    assert answer[0] == DATA
    assert answer[1].fields.items == [(b"Content-Type", b"text/html"), MODIFIED]
    leave(store, DATA[:4], ETAG)
    assert store.resume(KEY) is None


@pytest.mark.usefixtures("no_attributes")
def test_coding_needs_an_attribute(store: Store) -> None:
    """A coded body is stored only with its coding: later nobody would know of it."""
    before = os.listdir("/proc/self/fd")
    with pytest.raises(StoreError, match="metadata"):
        store.begin(KEY, described((b"content-encoding", b"gzip")))
    assert partials(store) == []
    assert os.listdir("/proc/self/fd") == before


def test_coding_is_kept(store: Store) -> None:
    """A coded body comes with its coding."""
    keep(store, KEY, DATA, (b"Content-Encoding", b"gzip"))
    answer = found(store)
    assert answer is not None
    assert answer[1].fields.get(b"content-encoding") == b"gzip"


def test_of_an_earlier_version(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """If metadata cannot be written, that of an earlier version must not stay on the file."""
    leave(store, DATA[:3], ETAG)
    monkeypatch.setattr(os, "setxattr", refusing(errno.ENOSPC))
    keep(store, KEY, DATA[::-1], (b"ETag", b'"two"'))
    answer = found(store)
    assert answer is None or answer[1].etag != ETAG[1]


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("example.org/x.html", b"text/html"),
        ("example.org/x.tar.gz", b"application/gzip"),
        ("example.org/x.tgz", b"application/gzip"),
        ("example.org/Packages.xz", b"application/x-xz"),
        ("example.org/x.json?q=1", b"application/json"),
        ("example.org/a:b.json", b"application/json"),
        ("example.org/InRelease", b"application/octet-stream"),
        ("example.org/x.strange", b"application/octet-stream"),
    ],
)
def test_copied_in(store: Store, key: str, kind: bytes) -> None:
    """A file that was copied in by hand is a hit, with its time and a guessed type."""
    os.utime(copy_in(store, key, DATA), (NOW, NOW))
    answer = found(store, key)
    assert answer is not None
    assert answer[0] == DATA
    fields = answer[1].fields
    assert fields.get(b"content-type") == kind
    assert parse_date(fields.get(b"last-modified")) == NOW
    assert b"etag" not in fields


def test_replaced_by_hand(store: Store) -> None:
    """Another file moved into the place is served as what it is."""
    keep(store, KEY, DATA, ETAG)
    assert body(store) == DATA
    copy_in(store, KEY + ".new", DATA[::-1]).rename(file_of(store))
    answer = found(store)
    assert answer is not None
    assert (answer[0], answer[1].etag) == (DATA[::-1], None)


@pytest.mark.parametrize("mtime", [-(10**11), 10**12])
def test_absurd_time(mtime: int) -> None:
    """A file with a time that no date can say is served all the same."""
    status = os.stat_result((0o100644, 1, 1, 1, 0, 0, 5, mtime, mtime, NOW))
    assert guess("x.html", status, MimeTypes()).fields.get(b"content-type") == b"text/html"


@pytest.mark.parametrize("attributes", [True, False])
def test_freshened(store: Store, attributes: bool, request: pytest.FixtureRequest) -> None:
    """What the origin says when it vouches for a file is remembered with it; where it cannot
    be written down, this answer knows it, and nothing breaks.
    """
    if not attributes:
        request.getfixturevalue("no_attributes")
    keep(store, KEY, DATA, ETAG)
    entry = store.look_up(KEY)
    assert entry is not None
    newer = Representation(Fields([ETAG, KIND]), NOW + 5, NOW + 6, len(DATA), changes=True)
    store.freshen(KEY, entry, newer)
    assert entry.representation is newer
    entry.release()
    for reader in (store, Store(Path(store.root))):
        answer = found(reader)
        assert answer is not None
        assert answer[0] == DATA
        if attributes:
            assert same(Metadata(KEY, answer[1]), Metadata(KEY, newer))
