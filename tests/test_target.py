"""The target of a request and its key: one file has one key, two files have two."""

from __future__ import annotations

import re
from contextlib import suppress
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given, strategies as st

from pkgproxy.message.errors import ClientError
from pkgproxy.message.target import normalise, parse_authority, parse_target

PIECES = [
    *"aZ09-._~!$&'()*+,;=:@/?é \x00\x7f\"<>[]^`{|}\\",
    "%2b",
    "%2B",
    "%2f",
    "%41",
    "%25",
    "%7e",
]
RESOURCES = st.lists(st.sampled_from(PIECES), max_size=30).map(lambda pieces: "/" + "".join(pieces))


def key(url: str) -> str:
    return parse_target(url.encode("latin-1")).key


def test_parts() -> None:
    """The origin is asked with the path as it was written; rules and logs see one spelling."""
    target = parse_target(b"HTTP://Example.ORG:8080/a%2bb/%7Ec?q=%41%2b#part")
    assert (target.scheme, target.host, target.port) == ("http", "example.org", 8080)
    assert target.resource == b"/a%2bb/%7Ec?q=%41%2b"
    assert target.url == "http://example.org:8080/a+b/~c?q=A%2B"
    assert target.key == "example.org:8080/a+b/~c?q=A%2B"
    assert target.authority == b"example.org:8080"
    assert target.address == "example.org"


@pytest.mark.parametrize(
    ("url", "same"),
    [
        # apt sends %2b where curl sends +
        ("http://example.org/g%2b%2b_1.0.deb", "http://example.org/g++_1.0.deb"),
        ("http://example.org/g%2B_1.0.deb", "http://example.org/g+_1.0.deb"),
        ("http://example.org/x_1%3a2.deb", "http://example.org/x_1:2.deb"),
        ("http://example.org/%7euser/%41", "http://example.org/~user/A"),
        ("http://example.org/a%2fb", "http://example.org/a%2Fb"),
        ("http://example.org/a b\xe9", "http://example.org/a%20b%e9"),
        ("http://example.org/?q=%7e%41", "http://example.org/?q=~A"),
        ("http://example.org/?q=%2b", "http://example.org/?q=%2B"),
        ("HTTP://EXAMPLE.org/A", "http://example.org/A"),
        ("http://example.org:80/x", "http://example.org/x"),
        ("http://example.org:/x", "http://example.org/x"),
        ("http://example.org:0080/x", "http://example.org/x"),
        ("https://example.org:443/x", "https://example.org/x"),
        ("http://example.org", "http://example.org/"),
        ("http://example.org?q", "http://example.org/?q"),
        ("http://example.org/x#part", "http://example.org/x"),
        ("http://[2001:DB8:0:0::1]/x", "http://[2001:db8::1]/x"),
    ],
)
def test_one_key(url: str, same: str) -> None:
    """Two spellings of one URL are one file."""
    assert key(url) == key(same)


@pytest.mark.parametrize(
    ("url", "other"),
    [
        ("http://example.org/?q=a%2bb", "http://example.org/?q=a+b"),
        ("http://example.org/?q=a%26b", "http://example.org/?q=a&b"),
        ("http://example.org/a%2fb", "http://example.org/a/b"),
        ("http://example.org/a%3fb", "http://example.org/a?b"),
        ("http://example.org/a%23b", "http://example.org/a#b"),
        ("http://example.org/a%252b", "http://example.org/a%2b"),
        ("http://example.org/A", "http://example.org/a"),
        ("http://example.org/a", "http://example.org/a/"),
        ("http://example.org/a", "http://example.org//a"),
        ("http://example.org/a", "http://example.org/a?"),
        ("http://example.org/a/../b", "http://example.org/b"),
        ("http://example.org/x", "https://example.org/x"),
        ("http://example.org/x", "http://example.org:8080/x"),
        ("http://example.org/x", "http://www.example.org/x"),
        ("http://example.org:443/x", "https://example.org/x"),
    ],
)
def test_two_keys(url: str, other: str) -> None:
    """Two hosts, two schemes or two names never share a file."""
    assert key(url) != key(other)


def test_no_host_passes_for_a_scheme() -> None:
    """A host of the name https shares no file with an https origin."""
    with suppress(ClientError):  # refusing a host that is a number is fine as well
        assert key("https://8080/x") != key("http://https:8080/x")


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("ftp://example.org/x", "opens http and https URLs only, not ftp"),
        ("file:///etc/passwd", "opens http and https URLs only, not file"),
        ("gopher://example.org/1", "opens http and https URLs only, not gopher"),
        ("http://user:secret@example.org/x", "user information"),
        ("http://example.org@evil.example/x", "user information"),
        ("http://example.org:0/x", "port"),
        ("http://example.org:99999/x", "port"),
        ("http://example.org:65536/x", "port"),
        ("http://example.org:" + "9" * 5000 + "/x", "port"),
        ("http://example.org:8o/x", "host"),
        ("http://example.org:-1/x", "host"),
        ("http:///x", "host"),
        ("http://.pkgproxy/partial/x", "host"),
        ("http://../x", "host"),
        ("http://exa mple.org/x", "host"),
        ("http://ex%61mple.org/x", "host"),
        ("http://" + "a" * 256 + "/x", "host"),
        ("http://[::g]/x", "host"),
        ("http://[1:2:3]/x", "IPv6"),
        ("http://::1/x", "host"),
        ("http://example.org/100%", "two hexadecimal digits"),
        ("http://example.org/%zz", "two hexadecimal digits"),
        ("http://example.org/x?q=%4", "two hexadecimal digits"),
        ("/only/a/path", "not an absolute URL"),
        ("example.org/x", "not an absolute URL"),
        ("http:/example.org/x", "not an absolute URL"),
        ("", "not an absolute URL"),
    ],
)
def test_refused(url: str, sentence: str) -> None:
    """What cannot be asked for is answered with 400 and a sentence that says why."""
    with pytest.raises(ClientError, match=sentence) as caught:
        parse_target(url.encode("latin-1"))
    assert caught.value.status == 400


def test_ipv6() -> None:
    """An IPv6 literal has brackets in a URL and none in a socket address."""
    target = parse_target(b"http://[2001:DB8::0:1]:8080/x")
    assert target.authority == b"[2001:db8::1]:8080"
    assert (target.address, target.port) == ("2001:db8::1", 8080)


@pytest.mark.parametrize("text", ["example.org", "example.org:", "[::1]"])
def test_tunnels_name_a_port(text: str) -> None:
    """CONNECT has no default port."""
    with pytest.raises(ClientError, match="port"):
        parse_authority(text, None)
    assert parse_authority("Example.org:443", None) == ("example.org", 443)


@pytest.mark.parametrize(
    ("location", "url"),
    [
        (b"/c", "http://example.org/c"),
        (b"c?q", "http://example.org/a/c?q"),
        (b"../c", "http://example.org/c"),
        (b"//mirror.example/c", "http://mirror.example/c"),
        (b"https://mirror.example:8443/c", "https://mirror.example:8443/c"),
    ],
)
def test_location(location: bytes, url: str) -> None:
    """A redirect may be relative."""
    assert parse_target(b"http://example.org/a/b").join(location).url == url


@pytest.mark.parametrize(
    "location", [b"ftp://example.org/", b"http://h/%", b"http://[::1/x", b"//[x]/", b"http://u@h/"]
)
def test_bad_location(location: bytes) -> None:
    """A redirect to nowhere is an error of ours, never an exception nobody expects."""
    with pytest.raises(ClientError):
        parse_target(b"http://example.org/a/b").join(location)


@pytest.mark.parametrize("location", [b"/a b", b"/a\x00b", b"/a\x7fb", b"/x HTTP/1.0"])
def test_location_in_a_request_line(location: bytes) -> None:
    """What is asked of an origin fits into a request line: no spaces, no control characters."""
    resource = parse_target(b"http://example.org/").join(location).resource
    assert not re.search(rb"[\x00-\x20\x7f]", resource)


@given(RESOURCES)
def test_idempotent(resource: str) -> None:
    """A URL in its one spelling stays as it is."""
    once = normalise(resource)
    assert normalise(once) == once
    target = parse_target(b"http://example.org" + resource.encode("latin-1"))
    again = parse_target(target.url.encode())
    assert (again.url, again.key) == (target.url, target.key)


@given(RESOURCES)
def test_meaning_kept(resource: str) -> None:
    """Another spelling never means another file: the decoded bytes and the slashes are kept."""
    normal = normalise(resource)
    assert unquote_to_bytes(normal) == unquote_to_bytes(resource.encode("latin-1"))
    assert [normal.count(mark) for mark in "/?"] == [resource.count(mark) for mark in "/?"]


@given(RESOURCES)
def test_spelling(resource: str) -> None:
    """A key holds visible ASCII, no #, and hexadecimal escapes in upper case only."""
    pattern = r"([A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-F]{2})*"
    assert re.fullmatch(pattern, normalise(resource))
