"""The rules file, and what the built-in rules make of what package managers fetch."""

from __future__ import annotations

from pathlib import Path

import pytest

from pkgproxy.filters import Action, Rules, load_rules, parse_rules
from pkgproxy.message.errors import RulesError

CLASSIC = r"""
# the classic filters file: a regex a line, what it finds is not stored
/.*\.db
/.*\.sig
/.*\.gpg

/Index.*
/Translation-.*
  /Packages.*
/Release.*
/Sources.*
/meta-release-.*
"""


def test_classic_file(tmp_path: Path) -> None:
    """A bare regex means never stored; comments, blank lines and indentation are nothing."""
    path = tmp_path / "filters"
    path.write_text(CLASSIC, encoding="utf-8")
    rules = load_rules(path)
    assert rules.count == 9
    host = "http://archive.ubuntu.com/ubuntu"
    for name in (
        "core.db", "foo.pkg.tar.zst.sig", "dists/noble/Release.gpg", "dists/noble/Release",
        "Packages.diff/Index", "i18n/Translation-en.xz", "binary-amd64/Packages.gz",
        "source/Sources.xz", "meta-release-lts",
    ):  # fmt: skip
        assert rules.match(f"{host}/{name}").action is Action.PASS, name
    assert rules.match(f"{host}/foo_1.0_all.deb").action is Action.CACHE
    assert rules.match(f"{host}/meta-release").action is Action.REVALIDATE


@pytest.mark.parametrize(
    ("line", "action", "pattern"),
    [
        (r"\.qcow2$", "pass", r"\.qcow2$"),
        (r"pass \.qcow2$", "pass", r"\.qcow2$"),
        (r"cache \.qcow2$", "cache", r"\.qcow2$"),
        (r"cache    \.qcow2$  ", "cache", r"\.qcow2$"),
        ("cache\t\\.qcow2$", "cache", r"\.qcow2$"),
        ("auto .", "auto", "."),
        ("revalidate /daily/", "revalidate", "/daily/"),
        ("deny ^https?://ads\\.example/", "deny", r"^https?://ads\.example/"),
        ("deny.", "pass", "deny."),
        ("/a#b", "pass", "/a#b"),
    ],
)
def test_line(line: str, action: str, pattern: str) -> None:
    """An action and a regex, or a regex alone."""
    (rule,) = parse_rules(f"# above\n\n{line}\r\n", "filters")
    assert (rule.action, rule.pattern.pattern) == (Action(action), pattern)
    assert rule.origin == "filters:3"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("store /x", "'store' is not an action; there are cache, auto, revalidate, pass, deny"),
        ("Cache /x", "'Cache' is not an action"),
        (r"/x # why", "'/x' is not an action"),
        ("cache", "the action 'cache' stands without a regex"),
        ("deny  ", "the action 'deny' stands without a regex"),
        ("/(x", "bad regex: missing )"),
        ("cache *x", "bad regex: nothing to repeat"),
        ("/x{99999999999}", "bad regex"),
        ("(" * 5000 + ")" * 5000, "bad regex"),
    ],
)
def test_bad_line(line: str, reason: str) -> None:
    """A line that cannot be used is named by file and number, and says what is wrong."""
    with pytest.raises(RulesError) as caught:
        parse_rules(f"# fine\n/fine\n{line}\n/fine\n", "etc/filters")
    assert str(caught.value).startswith(f"etc/filters:3: {reason}")


def test_unreadable(tmp_path: Path) -> None:
    """A rules file that cannot be read is an error that names it: never as if it were empty."""
    with pytest.raises(RulesError, match=r"/none:0: cannot be read: No such file"):
        load_rules(tmp_path / "none")
    (tmp_path / "bytes").write_bytes(b"\xff\n")
    with pytest.raises(RulesError, match=r"/bytes:1: this is not UTF-8"):
        load_rules(tmp_path / "bytes")


def test_first_match_wins() -> None:
    """The operator's lines come before the built-in ones, in their order."""
    text = "revalidate ^http://example\\.org/\ncache /x_1\ndeny /"
    rules = Rules(parse_rules(text, "filters"))
    for url, origin in [
        ("http://example.org/x_1.0_all.deb", "filters:1"),
        ("http://archive.ubuntu.com/x_1.0_all.deb", "filters:2"),
        ("http://archive.ubuntu.com/Release", "filters:3"),
    ]:
        assert [rules.match(url).origin for _ in range(2)] == [origin, origin]


TABLE = """
# Debian, Ubuntu
revalidate ftp.us.debian.org/debian/dists/bookworm/InRelease
revalidate ftp.us.debian.org/debian/dists/bookworm/Release
revalidate ftp.us.debian.org/debian/dists/bookworm/Release.gpg
revalidate ftp.us.debian.org/debian/dists/bookworm/main/binary-amd64/Packages.xz
revalidate ftp.us.debian.org/debian/dists/bookworm/main/source/Sources.gz
revalidate ftp.us.debian.org/debian/dists/bookworm/main/i18n/Translation-de.bz2
revalidate ftp.us.debian.org/debian/dists/bookworm/main/Contents-amd64.gz
revalidate ftp.us.debian.org/debian/dists/sid/main/binary-amd64/Packages.diff/Index
cache      ftp.us.debian.org/debian/dists/sid/main/binary-amd64/Packages.diff/2024-01-02-0807.56.gz
cache      ftp.us.debian.org/debian/dists/sid/main/binary-amd64/by-hash/SHA256/{hash}
cache      archive.ubuntu.com/ubuntu/dists/noble/main/binary-amd64/by-hash/MD5Sum/{md5}
revalidate archive.ubuntu.com/ubuntu/dists/noble/main/dep11/Components-amd64.yml.gz
revalidate archive.ubuntu.com/ubuntu/dists/noble/main/dep11/icons-64x64@2.tar.gz
revalidate archive.ubuntu.com/ubuntu/dists/noble/main/cnf/Commands-amd64.xz
revalidate ftp.us.debian.org/debian/ls-lR.gz
revalidate example.org/meta-release-lts
revalidate example.org/ubuntu/meta-release
cache      ftp.us.debian.org/debian/pool/main/g/gcc/g++_4%3a12.2.0-3_amd64.deb
cache      ftp.us.debian.org/debian/pool/main/g/gcc/g++_12.2.0-3_amd64.deb?x=1
cache      ftp.us.debian.org/debian/pool/main/l/linux/foo-modules_6.1-1_amd64.udeb
cache      ftp.us.debian.org/debian/pool/main/h/hello/hello_2.10-3.dsc
cache      ftp.us.debian.org/debian/pool/main/h/hello/hello_2.10.orig.tar.gz
cache      ftp.us.debian.org/debian/pool/main/h/hello/hello_2.10.orig.tar.gz.asc
cache      ftp.us.debian.org/debian/pool/main/h/hello/hello_2.10-3.debian.tar.xz
cache      ftp.us.debian.org/debian/pool/main/n/native/native_1.2.tar.xz
cache      ftp.us.debian.org/debian/pool/main/h/old/old_2.10-3.diff.gz
revalidate example.org/linux/direct/browser-stable_current_amd64.deb
# RPM
revalidate example.org/fedora/releases/40/Everything/x86_64/os/repodata/repomd.xml
revalidate example.org/opensuse/repo/oss/repodata/repomd.xml.asc
cache      example.org/fedora/releases/40/Everything/x86_64/os/repodata/{hash}-primary.xml.zst
cache      example.org/centos/8/os/repodata/{hash}-filelists.xml.zck
revalidate example.org/centos/6/os/repodata/primary.xml.gz
revalidate example.org/metalink?repo=fedora-40&arch=x86_64
revalidate example.org/mirrorlist?repo=baseos&arch=x86_64
revalidate example.org/fedora/releases/40/Everything/x86_64/os/.treeinfo
revalidate example.org/opensuse/repo/oss/media.1/media
cache      example.org/fedora/releases/40/os/Packages/b/bash-5.2.26-3.fc40.x86_64.rpm
cache      example.org/fedora/updates/drpms/bash-5.2.25-1.fc40_5.2.26-3.fc40.x86_64.drpm
revalidate example.org/pub/epel/epel-release-latest-9.noarch.rpm
# Arch
revalidate example.org/archlinux/core/os/x86_64/core.db
revalidate example.org/archlinux/core/os/x86_64/core.db.sig
revalidate example.org/archlinux/core/os/x86_64/core.db.tar.gz
revalidate example.org/archlinux/core/os/x86_64/core.files
revalidate example.org/archlinux/lastsync
cache      example.org/archlinux/core/os/x86_64/bash-5.2.026-2-x86_64.pkg.tar.zst
cache      example.org/archlinux/core/os/x86_64/bash-5.2.026-2-x86_64.pkg.tar.zst.sig
# Alpine, Void
revalidate example.org/alpine/v3.20/main/x86_64/APKINDEX.tar.gz
cache      example.org/alpine/v3.20/main/x86_64/busybox-1.36.1-r29.apk
revalidate example.org/void/current/x86_64-repodata
cache      example.org/void/current/bash-5.2.21_1.x86_64.xbps
# pkgsrc, FreeBSD
revalidate example.org/packages/NetBSD/amd64/10.0/All/pkg_summary.gz
revalidate example.org/packages/vulns/pkg-vulnerabilities.gz
cache      example.org/packages/NetBSD/amd64/10.0/All/bash-5.2.26nb1.tgz
revalidate example.org/FreeBSD:14:amd64/latest/meta.conf
revalidate example.org/FreeBSD:14:amd64/latest/packagesite.pkg
revalidate example.org/FreeBSD:14:amd64/quarterly/data.tzst
revalidate example.org/FreeBSD:14:amd64/latest/Latest/pkg.pkg
cache      example.org/FreeBSD:14:amd64/latest/All/bash-5.2.26.pkg
cache      example.org/FreeBSD:14:amd64/latest/All/Hashed/bash-5.2.26~2f1ae0e4b4.pkg
# Gentoo
revalidate example.org/gentoo/snapshots/portage-latest.tar.xz
revalidate example.org/gentoo/snapshots/gentoo-latest.tar.xz.gpgsig
revalidate example.org/gentoo/releases/amd64/autobuilds/latest-stage3-amd64-openrc.txt
revalidate example.org/gentoo/distfiles/layout.conf
cache      example.org/gentoo/distfiles/8a/bash-5.2.tar.gz
cache      example.org/gentoo/distfiles/bash52-001.patch
revalidate example.org/gentoo/releases/amd64/binpackages/23.0/x86-64/Packages
cache      example.org/gentoo/releases/amd64/binpackages/23.0/app-shells/bash/bash-5.2-1.gpkg.tar
# Python
revalidate example.org/simple/
revalidate example.org/simple/requests/
revalidate example.org/pypi/requests/json
cache      example.org/packages/70/8e/{hash}/requests-2.32.3-py3-none-any.whl
cache      example.org/packages/70/8e/{hash}/requests-2.32.3-py3-none-any.whl.metadata
cache      example.org/packages/70/8e/{hash}/requests-2.32.3.tar.gz
# npm
auto       example.org/lodash
revalidate example.org/@babel%2Fcore
revalidate example.org/-/package/lodash/dist-tags
cache      example.org/lodash/-/lodash-4.17.21.tgz
cache      example.org/@babel/core/-/core-7.24.0.tgz
# cargo
revalidate example.org/config.json
revalidate example.org/se/rd/serde
revalidate example.org/3/s/syn
revalidate example.org/index/1/a
cache      example.org/crates/serde/serde-1.0.203.crate
cache      example.org/api/v1/crates/serde/1.0.203/download
# gems
revalidate example.org/versions
revalidate example.org/info/rails
revalidate example.org/specs.4.8.gz
cache      example.org/gems/rails-7.1.3.gem
cache      example.org/quick/Marshal.4.8/rails-7.1.3.gemspec.rz
# Go modules: v1 and v1.2 are questions for the newest, not versions
revalidate example.org/github.com/pkg/errors/@v/list
revalidate example.org/github.com/pkg/errors/@latest
cache      example.org/github.com/pkg/errors/@v/v0.9.1.zip
cache      example.org/github.com/!azure/sdk/@v/v68.0.0+incompatible.mod
cache      example.org/golang.org/x/net/@v/v0.0.0-20240101120000-abcdefabcdef.info
revalidate example.org/github.com/pkg/errors/@v/v1.info
revalidate example.org/github.com/pkg/errors/@v/v1.2.info
revalidate example.org/github.com/pkg/errors/@v/master.info
# Installers and images
cache      example.org/debian-cd/12.5.0/amd64/iso-cd/debian-12.5.0-amd64-netinst.iso
revalidate example.org/debian-cd/current/amd64/iso-cd/debian-12.5.0-amd64-netinst.iso
revalidate example.org/debian-cd/12.5.0/amd64/iso-cd/SHA256SUMS.sign
revalidate example.org/debian/dists/sid/main/installer-amd64/current/images/netboot/netboot.tar.gz
revalidate example.org/releases/22.04/SHA256SUMS
cache      example.org/releases/22.04/ubuntu-22.04.4-live-server-amd64.iso
revalidate example.org/centos/9-stream/iso/CentOS-Stream-9-latest-x86_64-dvd1.iso
revalidate example.org/opensuse/leap/15.6/iso/openSUSE-Leap-15.6-DVD-x86_64-Current.iso
revalidate example.org/cloud/bookworm/latest/debian-12-generic-amd64.qcow2
revalidate example.org/fedora/releases/40/Server/x86_64/os/images/boot.img
auto       example.org/archlinux/iso/archlinux-x86_64.iso
# Anything
cache      example.org/gnu/hello/hello-2.12.1.tar.gz
cache      example.org/dl/foo-1.2.zip?token=a/b
revalidate example.org/foo/archive/refs/heads/v1.2.tar.gz
revalidate example.org/foo/foo-1.2-latest.tar.gz
auto       example.org/
auto       example.org/README
# What only looks as if it had a version
auto       example.org/client/9/zoom_amd64.deb
revalidate example.org/daily/tool_amd64.deb
revalidate example.org/tool/releases/latest/download/tool_Linux_x86_64.tar.gz
revalidate example.org/dist/rust-nightly-x86_64-unknown-linux-gnu.tar.xz
revalidate example.org/dist/channel-rust-stable.toml.sha256
revalidate example.org/remi-release-9.rpm
revalidate example.org/nova/nova-stable-2024.1.tar.gz
revalidate example.org/foo-1.0-SNAPSHOT.zip
revalidate archive.ubuntu.com/22.04/release/ubuntu-22.04-server-cloudimg-amd64.tar.gz
cache      example.org/fedora-release-39-30.noarch.rpm
# Indexes of others
revalidate example.org/dev/stable/+simple/idna/
revalidate example.org/lookup/latest
revalidate example.org/pub/Fedora-Server-39-1.5-x86_64-CHECKSUM
revalidate example.org/iso/sha256sums.txt
revalidate example.org/void/current/x86_64-repodata
revalidate example.org/openwrt/packages/Packages.sig
revalidate example.org/openwrt/packages/packages.adb
revalidate example.org/suse/media.1/products
revalidate example.org/mirrors.txt
"""
ROWS = [line.split() for line in TABLE.splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize(("action", "place"), ROWS)
def test_built_in(action: str, place: str) -> None:
    """A package is kept for good, an index is checked at each use, over http and https."""
    place = place.replace("{hash}", "0123456789abcdef" * 4).replace("{md5}", "0123456789abcdef" * 2)
    rules = Rules()
    rule = rules.match(f"http://{place}")
    assert (rule.action.value, rule.origin) == (action, rule.origin)
    assert rules.match(f"https://{place}") is rule
