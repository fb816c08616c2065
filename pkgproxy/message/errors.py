"""The one error tree: whose fault it was, and what the client hears.

The text of an error is the sentence that a client or an operator reads, so it names the
host and the cause.  ``status`` is the answer where none has begun yet.
"""

from __future__ import annotations


class ProxyError(Exception):
    """Something went wrong that a client is told about in one sentence."""

    status = 500


class ClientError(ProxyError):
    """The request cannot be served as it was sent (RFC 9110 §15.5)."""

    def __init__(self, sentence: str, status: int = 400) -> None:
        super().__init__(sentence)
        self.status = status


class UpstreamError(ProxyError):
    """The origin could not be reached, or what it answered was broken."""

    status = 502


class UpstreamTimeout(UpstreamError):
    """The origin did not connect, answer or go on in time."""

    status = 504


class StaleConnection(UpstreamError):
    """A kept-alive connection turned out to be closed before it answered anything."""


class StoreError(ProxyError):
    """The cache directory cannot be used for this; the request goes on without it."""


class RulesError(ProxyError):
    """A rules file cannot be used; the text begins with ``FILE:LINE:``."""
