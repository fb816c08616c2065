"""How much and how long a client may: sizes, times, and what makes a head a request."""

from __future__ import annotations

from pkgproxy.message.errors import ClientError
from pkgproxy.message.heads import RequestHead

MAX_HEAD = 64 * 1024  # bytes, all header lines of a request
MAX_URL = 8 * 1024  # bytes

#: So many requests may wait in one read; the connection closes after them, and the client
#: asks for the others anew (RFC 9112 §9.3.2).
MAX_PIPELINED = 100

HEAD_TIMEOUT = 10.0  # seconds from the first byte of a head to its last
IDLE_TIMEOUT = 60.0  # seconds between requests
STALL_TIMEOUT = 60.0  # seconds in which a client takes no byte of its answer
LINGER_TIMEOUT = 5.0  # seconds to read on after an early last answer

#: All times are looked at so often, which costs nothing on the way of a request.
TICK = 2.5  # seconds


def too_large() -> ClientError:
    """The answer to a head that is."""
    return ClientError(f"The request's head is larger than {MAX_HEAD} bytes.", 431)


def check_head(head: RequestHead) -> None:
    """What the parser lets through and RFC 9112 does not. Raises ClientError."""
    if head.version not in ("1.1", "1.0"):
        status = 400 if head.version == "0.9" else 505
        raise ClientError("This proxy speaks HTTP/1.1 and HTTP/1.0.", status)
    host = head.fields.get(b"host")
    # Several lines are joined by a comma, which no host has.
    if (host is None and head.version == "1.1") or (host is not None and b"," in host):
        raise ClientError("A request needs one Host field (RFC 9112 section 3.2).")
    coding = head.fields.get(b"transfer-encoding")
    if coding is not None:
        if head.version == "1.0":
            raise ClientError("HTTP/1.0 knows no Transfer-Encoding.")
        if coding.strip().lower() != b"chunked":
            raise ClientError("The only transfer coding known here is chunked.", 501)
