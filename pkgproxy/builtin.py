"""The built-in rules: package names that never change their bytes, indexes that do.

A package's version is in its name, so a name of class ``cache`` is kept for good,
whatever Cache-Control says.  An index is kept and checked at each use.  What no line
names is ``auto``.  Each regex is searched in the absolute URL.
"""

from __future__ import annotations

#: After the name: the end of the URL, or a query.
_END = r"(?:\?|$)"
_TAR = r"\.(?:tar(?:\.(?:gz|bz2|xz|zst|lz|lzma|lz4|Z))?|tgz|tbz2?|txz|tzst|tlz)"
_HASH = r"[0-9a-f]{32,128}"
_Z = r"(?:\.(?:gz|bz2|xz|zst|lzma|lz4|zck))?"

#: Action, name, regex; first match wins.
BUILT_IN = (
    # What lies in the names: bytes that their own hash names.
    ("cache", "by-hash", rf"/by-hash/(?:MD5Sum|SHA1|SHA256|SHA512)/{_HASH}{_END}"),
    ("cache", "hash-named repodata", rf"/repodata/{_HASH}-[^/]+{_END}"),
    # Signatures and check sums of indexes change with them.
    ("revalidate", "Debian release", r"/(?:In)?Release(?:\.gpg)?" + _END),
    ("revalidate", "Debian index",
     rf"/(?:Packages|Sources|Index|Contents-[^/]+|Translation-[^/]+|Components-[^/]+|"
     rf"Commands-[^/]+|icons-[^/]+|override\.[^/]+|ls-lR)(?:\.diff)?{_Z}{_END}"),
    ("revalidate", "OpenWrt index", r"/(?i:packages\.(?:sig|manifest|adb))" + _END),
    ("revalidate", "list of mirrors", r"/mirrors\.(?:txt|list)" + _END),
    ("revalidate", "Debian index differences", r"\.diff/Index" + _END),
    ("cache", "Debian index difference", r"\.diff/[^/]+\.gz" + _END),
    ("revalidate", "Ubuntu release upgrade", r"/meta-release[^/]*" + _END),
    ("revalidate", "RPM repodata", r"/repodata/"),
    ("revalidate", "RPM metalink and mirror list", r"/(?:metalink|mirrorlist)(?:\?|/|$)"),
    ("revalidate", "RPM media and tree", r"/(?:\.treeinfo|treeinfo|media\.1/[^/]+|content|"
     r"repoindex\.xml|\.discinfo|repomd\.xml(?:\.asc|\.key)?|RPM-GPG-KEY[^/]*)" + _END),
    ("revalidate", "Arch database",
     rf"/[^/]+\.(?:db|files|abs|links)(?:{_TAR})?(?:\.sig)?(?:\.old)?{_END}"),
    ("revalidate", "Arch mirror state", r"/(?:lastsync|lastupdate)" + _END),
    ("revalidate", "Alpine index", r"/APKINDEX\.tar\.gz" + _END),
    ("revalidate", "Void index", r"/[^/]+-(?:repo|stage)data" + _END),
    ("revalidate", "pkgsrc summary", r"/(?:pkg_summary|SHA512|pkg-vulnerabilities)"
     r"(?:\.(?:gz|bz2|xz|zst))?" + _END),
    ("revalidate", "FreeBSD catalogue",
     r"/(?:meta\.(?:conf|txz|pkg)|meta|(?:packagesite|data|filesite|digests)"
     r"\.(?:txz|pkg|tzst)|latest\.ssl|pub\.ssl|INDEX(?:-[0-9]+)?(?:\.[a-z0-9]+)?)" + _END),
    ("revalidate", "FreeBSD latest", r"/Latest/[^/]+" + _END),
    ("revalidate", "Gentoo snapshot",
     r"/(?:portage|gentoo)-latest\.[^/]+|/(?:latest-stage3|timestamp\.)[^/]*" + _END),
    ("revalidate", "Gentoo distfiles layout", r"/distfiles/layout\.conf" + _END),
    ("revalidate", "check sums",
     r"/(?i:[^/]*(?:md5|sha(?:1|224|256|384|512)|b2)[-_.]?sums?|[^/]*checksums?)"
     r"(?:\.(?:gpg|asc|sign?|txt))*" + _END),
    ("revalidate", "Python index", r"/\+?simple(?:/[^/]+)?(?:/|/index\.html)?" + _END),
    ("revalidate", "Python project data", r"/pypi/[^/]+(?:/[^/]+)?/json" + _END),
    ("cache", "Python core metadata", r"\.(?:whl|tar\.gz|zip)\.metadata" + _END),
    ("cache", "npm package", r"/-/[^/]+\.tgz" + _END),
    ("revalidate", "npm scoped package data", r"/@(?!v/)[^/]+(?:%2F|/)[^/]+" + _END),
    ("revalidate", "npm dist-tags and search", r"/-/(?:package/|v1/|npm/|all)"),
    ("cache", "cargo crate", r"\.crate" + _END + r"|/crates/[^/]+/[^/]+/download" + _END),
    ("revalidate", "cargo index",
     r"/(?:config\.json|(?:index/)?(?:1/[^/.]|2/[^/.]{2}|3/[^/.]/[^/.]{3}|[^/.]{2}/[^/.]{2}/"
     r"[a-zA-Z0-9_-]{4,}))" + _END),
    ("revalidate", "gems index",
     r"/(?:(?:latest_|prerelease_)?specs\.4\.8(?:\.gz)?|versions|names|info/[^/]+|"
     r"quick/Marshal\.4\.8/?|api/v1/dependencies[^/]*)" + _END),
    ("cache", "gem", r"/(?:gems/[^/]+\.gem|quick/Marshal\.4\.8/[^/]+\.gemspec\.rz)" + _END),
    ("revalidate", "Go versions", r"/@v/list" + _END + r"|/@?latest" + _END),
    ("cache", "Go module", r"/@v/v[0-9]+\.[0-9]+\.[0-9]+[^/]*\.(?:info|mod|zip|ziphash)" + _END),
    ("revalidate", "Go version by another name", r"/@v/[^/]+\.info" + _END),
    ("revalidate", "Rust channel", r"/channel-rust-[^/]*\.toml(?:\.(?:sha256|asc))?" + _END),
    ("revalidate", "RPM that names a repository",
     r"/[^/]+-release-[^/-]*\.rpm" + _END),
    ("revalidate", "newest by name", r"[-_./](?i:latest|current)[-_.][^/]*" + _END),
    # Names that carry their version.
    ("cache", "Debian package",
     r"/[A-Za-z0-9][^/_]*_[0-9][^/_]*(?:_[^/_]+)?\.(?:deb|udeb|ddeb|dsc|changes|buildinfo)"
     r"(?:\.asc)?" + _END),
    ("cache", "Debian source",
     rf"/[A-Za-z0-9][^/_]*(?<!x86)_[0-9][^/_]*(?:\.(?:orig|debian)[^/]*{_TAR}|{_TAR}|"
     rf"\.diff\.(?:gz|bz2|xz))(?:\.asc)?{_END}"),
    ("cache", "RPM package", r"/[^/]+-[0-9][^/-]*-[^/-]+\.d?rpm" + _END),
    ("cache", "Arch package", rf"/[^/]+-[^/]+-[^/]+-[^/]+\.pkg{_TAR}(?:\.sig)?{_END}"),
    ("cache", "Alpine package", r"/[^/]+-[0-9][^/]*-r[0-9]+\.apk" + _END),
    ("cache", "Void package", r"/[^/]+-[0-9][^/]*_[0-9]+\.[^/.]+\.xbps(?:\.sig2?)?" + _END),
    ("cache", "pkgsrc and FreeBSD package",
     r"/(?:All|Hashed)/[^/]+-[0-9][^/]*\.(?:tgz|tbz|txz|pkg|tzst)" + _END),
    ("cache", "Python package", r"/[^/]+-[^/]+\.(?:whl|egg)" + _END),
    ("cache", "gem outside gems/", r"/[^/]+-[0-9][^/]*\.gem" + _END),
    ("cache", "Gentoo distfile", r"/distfiles/(?:[0-9a-f]{2}/)?[^/]*[0-9][^/]*\.[^/]+" + _END),
    ("cache", "Gentoo binary package", r"/[^/]+-[0-9][^/]*\.(?:gpkg\.tar|xpak)" + _END),
    # A name below these is somebody's newest build, however numbered it looks.
    ("revalidate", "newest of something",
     r"/(?:current|latest|daily|nightly|refs/heads)/[^?]*" + _END),
    ("revalidate", "newest archive by name",
     r"[-_./](?i:stable|nightly|daily|snapshot|master|trunk)[-_.][^/]*" + _END),
    ("revalidate", "machine image of a cloud", r"/[^/]*-cloudimg-[^/]*" + _END),
    ("revalidate", "machine image",
     r"/[^/]+\.(?:img|qcow2|vmdk|vdi|vhdx?|box|raw|ova)(?:\.(?:gz|xz|bz2|zst))?" + _END),
    ("cache", "versioned source archive", rf"/[^/]*[0-9]+\.[0-9][^/]*(?:{_TAR}|\.zip){_END}"),
    ("cache", "versioned installer image",
     r"/[^/]*[0-9]+\.[0-9][^/]*\.(?:iso|jigdo|template)" + _END),
    ("auto", "everything else", ""),
)  # fmt: skip
