"""What the proxy answers for itself: counters, and help for who got here by mistake."""

from __future__ import annotations

import json
from dataclasses import dataclass

from pkgproxy.cache.answer import Counters

HELP = """\
This is pkgproxy, a caching proxy for package downloads. It has no page at {path}.

To use it, name it as the HTTP proxy of your package manager, with this address:

    apt       Acquire::http::Proxy "http://{host}/";     in /etc/apt/apt.conf.d/30proxy
    dnf       proxy=http://{host}/                       in /etc/dnf/dnf.conf
    pacman    http_proxy=http://{host}/ pacman -Syu
    others    export http_proxy=http://{host}/

Counters: http://{host}/debug/vars
"""


@dataclass(frozen=True, slots=True)
class Page:
    """An answer of our own."""

    status: int
    kind: bytes
    text: bytes


def own_page(path: str, host: str, counters: Counters, in_progress: int) -> Page:
    """The page at an origin-form path."""
    if path.partition("?")[0] == "/debug/vars":
        return Page(200, b"application/json", debug_vars(counters, in_progress))
    shown = path.encode("ascii", "backslashreplace").decode()
    return plain(404, HELP.format(path=shown, host=host))


def debug_vars(counters: Counters, in_progress: int) -> bytes:
    """The counters as JSON; the first two by the names that pkgproxy in Go has."""
    value = {
        "statsCacheBytes": counters.cache_bytes,
        "statsDownBytes": counters.down_bytes,
        "hits": counters.hits,
        "misses": counters.misses,
        "revalidated": counters.revalidated,
        "stale": counters.stale,
        "collapsed": counters.collapsed,
        "bypassed": counters.bypassed,
        "errors": counters.errors,
        "inProgress": in_progress,
    }
    return json.dumps(value, indent=1).encode("ascii") + b"\n"


def plain(status: int, text: str) -> Page:
    """A sentence for a client."""
    return Page(status, b"text/plain; charset=utf-8", text.encode("utf-8"))
