"""Tags that strangers made are kept or left out, in no time; the sound is never lost for them."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest

from frcrn import audio, enhance_file
from frcrn.audio import ogg, tagging
from frcrn.audio.tagging import put_tags
from frcrn.audio.tags import Tags, tags_of
from frcrn.files import sweep
from tests.limits import bounded
from tests.networks import tiny
from tests.strange_audio import made

MODEL = tiny(causal=True)


def lengths(*values: int) -> bytes:
    return b"".join(value.to_bytes(4, "little") for value in values)


def id3(body: bytes) -> bytes:
    return b"ID3\x03\0\0" + bytes(len(body) >> shift & 0x7F for shift in (21, 14, 7, 0)) + body


def endless(pages: int) -> bytes:
    """An ogg file of Opus whose second packet goes on over so many pages of 65,025 bytes."""
    first = ogg.Page(ogg.FIRST, 0, 1, 0, b"\x13", b"OpusHead" + bytes(11)).encoded()
    return first + ogg.Page(0, 0, 1, 1, b"\xff" * 255, bytes(65_025)).encoded() * pages


FLAC = b"fLaC" + b"\0\0\0\x22" + bytes(34)
STRANGE: dict[str, Callable[[], bytes]] = {
    "a million empty blocks": lambda: FLAC + bytes(4_000_000),
    "a million comments": lambda: FLAC + b"\x84\x3d\x09\x08" + lengths(0, 1_000_000) + bytes(4_000_000),
    "more comments than there are": lambda: FLAC + b"\x84\0\0\x08" + lengths(0, 2**32 - 1),
    "a comment longer than the file": lambda: FLAC + b"\x84\0\0\x0c" + lengths(0, 1, 2**32 - 1),
    "a picture whose description has no end": lambda: id3(
        b"APIC" + (6_000_000).to_bytes(4, "big") + b"\0\0" + b"\0image/png\0\3" + b"x" * 5_999_988
    ),
    "a million empty frames": lambda: id3(b"TIT2\0\0\0\0\0\0" * 1_000_000),
    "a header packet of 80 MB": lambda: endless(1230),
}


@pytest.mark.parametrize("name", STRANGE)
def test_what_is_endless_is_left_out_at_once(name: str) -> None:
    content = STRANGE[name]()
    with bounded(seconds=2, gigabytes=1):
        tags = tags_of(io.BytesIO(content))
    assert len(tags.comments) <= 10_000 and not tags.pictures


COMMENTS = [b"METADATA_BLOCK_PICTURE=" + text for text in (b"A", b"\xff\xff", b"", b"AAAA", b"////" * 20)]


@pytest.mark.parametrize("comment", [*COMMENTS, b"", b"=", b"TITLE", b"\xff\xfe=\0", b"ARTIST=" + bytes(100_000)])
def test_a_tag_that_is_none_costs_no_sound(comment: bytes, tmp_path: Path) -> None:
    source, tags = tmp_path / "a.opus", tmp_path / "b.opus"
    source.write_bytes(made("OGG", "OPUS"))
    put_tags(source, Tags(comments=[comment, b"TITLE=Talk"]))
    for target in (tags, tmp_path / "b.mp3", tmp_path / "b.flac"):
        enhance_file(source, target, model=MODEL, strength=0.0)
        assert audio.read(target).samples.size
    with tags.open("rb") as file:
        assert b"TITLE=Talk" in tags_of(file).comments


@pytest.mark.skipif(os.name == "nt", reason="no modes there")
@pytest.mark.parametrize("mode", [0o600, 0o640])
def test_tags_of_a_private_file_are_private_while_they_are_written(
    mode: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, seen = tmp_path / "a.flac", []
    path.write_bytes(made("FLAC", "PCM_16"))
    path.chmod(mode)
    if owned := os.geteuid() == 0:
        os.chown(path, 65534, 65534)
    before, write = path.stat(), tagging._tagged

    def watched(source: BinaryIO, sink: BinaryIO, tags: Tags) -> bool:
        seen.append(os.fstat(sink.fileno()))
        return write(source, sink, tags)

    monkeypatch.setattr(tagging, "_tagged", watched)
    put_tags(path, Tags(comments=[b"TITLE=Talk"]))
    for found in (*seen, path.stat()):
        assert stat.S_IMODE(found.st_mode) == mode and found.st_uid == before.st_uid and found.st_gid == before.st_gid
    assert owned == (before.st_uid == 65534) and path.stat().st_ino != before.st_ino


def test_the_longest_name_holds_tags_too(tmp_path: Path) -> None:
    source, target = tmp_path / "a.flac", tmp_path / f"{'n' * 250}.flac"
    source.write_bytes(made("FLAC", "PCM_16"))
    put_tags(source, Tags(comments=[b"TITLE=Talk"]))
    enhance_file(source, target, model=MODEL, strength=0.0)
    with target.open("rb") as file:
        assert tags_of(file).comments == [b"TITLE=Talk"]


def test_what_a_kill_leaves_while_tags_are_written_is_swept(tmp_path: Path) -> None:
    left = tmp_path / ".a.flac.0123abcd.tags"
    left.touch()
    sweep([tmp_path / "a.flac"])
    assert not left.exists()
