"""Tar shards of strangers: links lead nowhere, and no member is larger than what can be held."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from frcrn.audio import AudioError
from frcrn.scale.shards import enhanced_shard
from tests.limits import bounded

LINKS = {"itself": ("a.wav", tarfile.SYMTYPE), "nowhere": ("gone.wav", tarfile.SYMTYPE)}
LINKS |= {"outside": ("/etc/passwd", tarfile.SYMTYPE), "a hard one": ("b.txt", tarfile.LNKTYPE)}


def member(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = size, kind, link
    return info


def contents(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as shard:
        return {info.name: shard.extractfile(info).read() for info in shard}  # type: ignore[union-attr]


@pytest.mark.parametrize("which", LINKS)
def test_links_are_left_out(which: str, tmp_path: Path) -> None:
    target, kind = LINKS[which]
    with tarfile.open(tmp_path / "a.tar", "w") as shard:
        shard.addfile(member("b.txt", 4), io.BytesIO(b"text"))
        shard.addfile(member("a.wav", kind=kind, link=target))
        shard.addfile(member("c.wav", 5), io.BytesIO(b"sound"))
    parts = list(enhanced_shard(tmp_path / "a.tar", tmp_path / "b.tar", lambda content, name: (content[::-1], 1.0)))
    assert [part.member for part in parts] == ["c.wav"]
    assert contents(tmp_path / "b.tar") == {"b.txt": b"text", "c.wav": b"dnuos"}


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.GNUTYPE_SPARSE])
def test_what_claims_a_terabyte_is_refused(kind: bytes, tmp_path: Path) -> None:
    info = member("a.wav", 1 << 40, kind)
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    if kind == tarfile.GNUTYPE_SPARSE:  # no piece of it is there, and all of it is a hole
        block[124:136] = b"00000000000\0"
        block[483:495] = b"\x80" + (1 << 40).to_bytes(11, "big")
        block[148:156] = b"        "
        block[148:156] = b"%06o\0 " % sum(block[:512])
    (tmp_path / "a.tar").write_bytes(bytes(block) + bytes(1024))
    with bounded(seconds=10, gigabytes=1), pytest.raises(AudioError, match="a member of 1099511627776 bytes"):
        list(enhanced_shard(tmp_path / "a.tar", tmp_path / "b.tar", lambda content, name: (content, 1.0)))
