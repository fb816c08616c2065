"""May this be shared, may it be kept, does it change? Questions only (RFC 9111, design)."""

from __future__ import annotations

from pkgproxy.filters import Action, Rule
from pkgproxy.http1.response import Framing
from pkgproxy.message.fields import Field, Fields, directives, parse_date
from pkgproxy.message.heads import VIA, RequestHead, ResponseHead, upstream_age

DAY = 86_400.0  # seconds

#: Fields of a client's request that concern its own copy or its own coding, and Host,
#: which is made from the target.
_CLIENTS_OWN = (
    b"host", b"range", b"if-range", b"if-match", b"if-none-match", b"if-modified-since",
    b"if-unmodified-since", b"accept-encoding", b"expect", b"content-length",
)  # fmt: skip


def bypass_reason(head: RequestHead, rule: Rule, *, has_body: bool) -> str | None:
    """Why the store is not asked, as the detail of a Cache-Status; None if it is."""
    fields = head.fields
    if head.method not in (b"GET", b"HEAD") or has_body:
        return "method"
    if rule.action is Action.PASS:
        return "rule"
    if has_credentials(fields):
        return "credentials"
    if b"cache-control" in fields and b"no-store" in directives(fields.get(b"cache-control")):
        return "no-store"
    return None


def has_credentials(fields: Fields) -> bool:
    """Whether the request says who asks."""
    return b"authorization" in fields or b"cookie" in fields


def wants_check(fields: Fields, rule: Rule) -> bool:
    """Whether the client asks for a check with the origin (RFC 9111 §5.2.1, §5.4).

    apt says max-age=0 of all its indexes, those that their own hash names too: for names
    that never change it is not meant.
    """
    control = fields.get(b"cache-control")
    if control is None:
        return fields.get(b"pragma") == b"no-cache"
    found = directives(control)
    if b"no-cache" in found:
        return True
    return found.get(b"max-age") == b"0" and rule.action is not Action.CACHE


def only_if_cached(fields: Fields) -> bool:
    """Whether the client wants no request upstream (RFC 9111 §5.2.1.7)."""
    return b"only-if-cached" in directives(fields.get(b"cache-control"))


def unshareable_reason(head: ResponseHead, framing: Framing) -> str | None:
    """Why an answer is for the one who asked only; None if it may be kept for all."""
    fields = head.fields
    if head.status != 200:
        return "status"
    if framing is Framing.CLOSE:
        return "no-length"
    if for_one_client(fields):
        return "cache-control"
    if b"set-cookie" in fields:
        return "set-cookie"
    if fields.tokens(b"vary") - {b"accept-encoding"}:
        return "vary"
    return None


def for_one_client(fields: Fields) -> bool:
    """Whether the origin's Cache-Control forbids to keep this for others."""
    control = directives(fields.get(b"cache-control"))
    return b"private" in control or b"no-store" in control


def changes(head: ResponseHead, now: float) -> bool:
    """Whether the origin says that its answer will not be good for a day."""
    control = directives(head.fields.get(b"cache-control"))
    if b"no-cache" in control or b"must-revalidate" in control:
        return True
    lifetime = control.get(b"s-maxage", control.get(b"max-age"))
    if lifetime is not None:
        # An invalid one means stale, as an invalid date below (RFC 9111 §4.2.1, §5.3).
        return not lifetime.isdigit() or int(lifetime[:18]) - upstream_age(head.fields) < DAY
    expires = head.fields.get(b"expires")
    if expires is None:
        return False
    date = parse_date(head.fields.get(b"date")) or now
    return (parse_date(expires) or 0.0) - date < DAY


def forwarded(fields: Fields) -> list[Field]:
    """A client's fields for a request that passes through as it is."""
    return _with_via(fields.end_to_end(b"host", b"content-length"), fields)


def shared(fields: Fields) -> list[Field]:
    """A client's fields for a request on behalf of all: for the whole, uncoded body."""
    kept = [*fields.end_to_end(*_CLIENTS_OWN), (b"Accept-Encoding", b"identity")]
    return _with_via(kept, fields)


def _with_via(kept: list[Field], fields: Fields) -> list[Field]:
    earlier = fields.get(b"via")
    if earlier is None:
        return [*kept, (b"Via", VIA)]
    others = [item for item in kept if item[0].lower() != b"via"]
    return [*others, (b"Via", earlier + b", " + VIA)]
