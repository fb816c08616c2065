"""Key to file name and back: injective, reversible, readable, confined to the root.

A key holds hexadecimal escapes in upper case only, so lower-case ones are free to mean
what a file system cannot hold:

===========  ====================================================================
``%2e``      a dot in a name that is ``.`` or ``..``
``%2d``      an empty name (``//``, or a trailing slash)
``%2f``      a slash in the query
``%2c``      at the end of a directory's name: the name goes on in the next level
===========  ====================================================================

A URL may be a file and the beginning of another URL.  Names with an extension are
expected to be files and names without one directories; what is the other way round gets
a ``#`` at its end, which no key holds.  So ordinary package URLs stay as they are, and
``.../dists/stable/InRelease`` is ``.../dists/stable/InRelease#``.
"""

from __future__ import annotations

import re

#: Longest name in the common file systems, bytes, minus room for the marks.
_NAME_MAX = 255 - len("%2c") - len("#")

#: Longest path handed to the kernel (PATH_MAX is 4096, the root needs its part).
PATH_MAX = 3500

_EXTENSION = re.compile(r"\.[A-Za-z][A-Za-z0-9]*$")
_DOTS = {"": "%2d", ".": "%2e", "..": "%2e%2e"}
_UNDOTS = {name: dots for dots, name in _DOTS.items()}


def path_of(key: str) -> str | None:
    """The path below the root for a key, or None if it is too long to be one."""
    resource, question, query = key.partition("?")
    authority, *directories, last = resource.split("/")
    # Below the root there are only directories, so a host needs no mark.
    names = _chunks(authority)
    names += [name for directory in directories for name in _directory_names(directory)]
    names += _file_names(last + question + query.replace("/", "%2f"))
    path = "/".join(names)
    return path if len(path) <= PATH_MAX else None


def _chunks(name: str) -> list[str]:
    pieces = [name[i : i + _NAME_MAX] for i in range(0, len(name), _NAME_MAX)] or [""]
    pieces = [_DOTS.get(piece, piece) for piece in pieces]
    return [piece + "%2c" for piece in pieces[:-1]] + [pieces[-1]]


def _directory_names(name: str) -> list[str]:
    *first, last = _chunks(name)
    return [*first, last + "#" if _looks_like_a_file(last) else last]


def _file_names(name: str) -> list[str]:
    *first, last = _chunks(name)
    return [*first, last if _looks_like_a_file(last) else last + "#"]


def _looks_like_a_file(name: str) -> bool:
    return _EXTENSION.search(name) is not None


def key_of(path: str) -> str:
    """The key whose path this is. Raises ValueError if it is none's.

    The path must be one that path_of gave for some key; a file that was put there by hand
    may have a name that no normalised URL has.
    """
    parts, joined = [], ""
    for name in path.split("/"):
        plain = name.removesuffix("#").removesuffix("%2c")
        joined += _UNDOTS.get(plain, plain)
        if not name.endswith("%2c"):
            parts.append(joined)
            joined = ""
    key = "/".join(parts).replace("%2f", "/")
    if path_of(key) != path:
        raise ValueError(f"{path!r} is not the path of a key")
    return key
