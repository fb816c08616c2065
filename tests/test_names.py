"""Key to file name and back: readable, injective, reversible, confined, without clashes."""

from __future__ import annotations

import pytest
from hypothesis import example, given, strategies as st

from pkgproxy.message.target import parse_target
from pkgproxy.store.names import PATH_MAX, key_of, path_of

PIECES = [
    "/", "/", "/", ".", "..", "?", "?", "a", "B", "a.deb", ".deb", ".d", "-", "~", "+", "#",
    "%2F", "%2E", "%2e", "%2d", "%2c", "%2f", "%00", "%0A", "%23", "%25", "%C3%A9", "\x00", "é",
    "x" * 246, "x" * 250, "x" * 251, "x" * 252, "x" * 256, "." * 252,
]  # fmt: skip
HOSTS = st.sampled_from(
    ["http://example.org", "https://example.org", "http://a", "http://[::1]:8080", "https://h:80",
     "http://" + "a" * 254, "https://" + "a." * 126 + "bc:8080"]
)  # fmt: skip
KEYS = st.builds(
    lambda host, pieces: parse_target((host + "/" + "".join(pieces)).encode("latin-1")).key,
    HOSTS,
    st.lists(st.sampled_from(PIECES), max_size=12),
)
SHORT_KEYS = st.lists(
    st.sampled_from(["/", "?", "a", ".a", ".", "x" * 251]), min_size=1, max_size=5
).map(lambda pieces: "h/" + "".join(pieces))


def placed(key: str) -> str:
    path = path_of(key)
    assert path is not None
    return path


@pytest.mark.parametrize(
    ("key", "path"),
    [
        # what people look for is where they look for it
        ("archive.ubuntu.com/ubuntu/pool/main/h/hello/hello_2.10-3_amd64.deb", None),
        ("ftp.us.debian.org/debian/pool/main/g/gcc/g++_4:12.2_amd64.deb", None),
        ("example.org/os/Packages/b/bash-5.2.26-3.fc40.x86_64.rpm", None),
        ("example.org/core/os/x86_64/core.db", None),
        ("https:example.org:8443/simple/x/x-1.0-py3-none-any.whl", None),
        ("[2001:db8::1]:8080/x.deb", None),
        ("example.org/%C3%A9%2Fx.deb", None),
        # a file without an extension, a directory with one
        ("archive.ubuntu.com/ubuntu/dists/noble/InRelease", ".../InRelease#"),
        ("example.org/x_1.0/x", "example.org/x_1.0/x#"),
        ("example.org/x.d/x.deb", "example.org/x.d#/x.deb"),
        ("example.org/x.deb?a=b", "example.org/x.deb?a=b#"),
        ("example.org/list?file=/a/b.deb", "example.org/list?file=%2fa%2fb.deb"),
        ("example.org/", "example.org/%2d#"),
        ("example.org/debian/", "example.org/debian/%2d#"),
        ("example.org//x.deb", "example.org/%2d/x.deb"),
        ("example.org/../x.deb", "example.org/%2e%2e/x.deb"),
        ("example.org/./..", "example.org/%2e/%2e%2e#"),
        ("example.org/.pkgproxy/x.deb", "example.org/.pkgproxy#/x.deb"),
        ("example.org/...", "example.org/...#"),
        ("e/" + "x" * 251 + "y.deb", "e/" + "x" * 251 + "%2c/y.deb"),
    ],
)
def test_readable(key: str, path: str | None) -> None:
    """Ordinary package URLs are their own paths; only what cannot be one is marked."""
    expected = key if path is None else path.replace("...", key.rpartition("/")[0], 1)
    if path is not None and not path.startswith(".../"):
        expected = path
    assert path_of(key) == expected
    assert key_of(expected) == key


@given(KEYS)
@example("h/" + "x" * 251 + ".." + "/a")
@example("h/" + "x" * 251 + ".")
@example("h/a?" + "/" * 300)
def test_reversible_and_confined(key: str) -> None:
    """Every key has a path below the root that any file system takes, and is its only key."""
    path = placed(key)
    assert key_of(path) == key
    names = path.split("/")
    assert len(names) > 1
    assert not names[0].startswith(".")
    for name in names:
        assert name not in ("", ".", "..")
        assert len(name.encode("ascii")) <= 255
        assert name.isprintable()
        assert "\0" not in name


@given(SHORT_KEYS, SHORT_KEYS)
@example("h/a", "h/a/")
@example("h/a.b", "h/a.b/c")
@example("h/" + "x" * 251, "h/" + "x" * 252)
@example("h/" + "x" * 251 + "/a", "h/" + "x" * 251 + "a")
def test_no_clash(a: str, b: str) -> None:
    """Two keys have two files, and none is a directory of the other."""
    if a != b:
        assert placed(a) != placed(b)
        assert not placed(b).startswith(placed(a) + "/")
        assert not placed(a).startswith(placed(b) + "/")


@given(KEYS, st.lists(st.sampled_from(PIECES).filter(lambda p: p != "#"), max_size=4))
def test_a_file_is_no_directory(a: str, more: list[str]) -> None:
    """A URL may be a file and the beginning of another one: both can be stored."""
    b = parse_target(b"http://x/" + "".join(more).encode("latin-1")).key.removeprefix("x/")
    assert not placed(a + "/" + b).startswith(placed(a) + "/")


@given(st.text(st.sampled_from("ab./#%2cdef?AF"), max_size=20))
def test_only_what_is_a_path(path: str) -> None:
    """A file that nobody put there by a key is nobody's."""
    try:
        key = key_of(path)
    except ValueError:
        return
    assert path_of(key) == path


@pytest.mark.parametrize(
    "path",
    [
        "example.org/InRelease", "example.org/x.deb#", "example.org/x.d/x.deb", "example.org",
        "example.org/../x.deb", "example.org//x.deb", "/etc/x.conf", "", "example.org/%2d.deb#",
        "example.org/%2f/x.deb", "example.org/x%2c", "example.org/x%2c/y.deb",
    ],
)  # fmt: skip
def test_nobodys(path: str) -> None:
    """A name that no key has is an error."""
    with pytest.raises(ValueError):
        key_of(path)


def test_too_long() -> None:
    """A URL longer than a path can be has none; up to there every length has one."""
    longest = "h/" + "a/" * ((PATH_MAX - 4) // 2) + "a"
    assert path_of(longest) == longest + "#"
    assert len(longest + "#") == PATH_MAX
    assert path_of(longest + "aa") is None
    assert path_of("h/" + "a" * 100_000) is None
