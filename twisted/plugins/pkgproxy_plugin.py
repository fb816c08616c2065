"""Makes ``twistd pkgproxy`` and ``twist pkgproxy``."""

from twisted.application.service import ServiceMaker

# Must not import anything of ours: an error here would make the command vanish. The
# variable is never renamed, as plugin caches remember it.
pkgproxy = ServiceMaker(
    "pkgproxy", "pkgproxy.tap", "A caching forward proxy for package downloads.", "pkgproxy"
)
