"""Tar shards of strangers: links lead nowhere, and no member is larger than what can be held."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from frcrn.audio import AudioError
from frcrn.data import shards
from frcrn.data.shards import pairs_in
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


def block(name: bytes, size: bytes, kind: bytes = b"0") -> bytes:
    """A header, whatever its size says."""
    made = bytearray(tarfile.TarInfo(name.decode()).tobuf(tarfile.GNU_FORMAT))
    made[124:136], made[156:157], made[148:156] = size, kind, b" " * 8
    made[148:156] = b"%06o\0 " % sum(made)
    return bytes(made)


def facts(key: bytes, value: bytes) -> bytes:
    """A member of four bytes with a fact about it before it."""
    line = b" %s=%s\n" % (key, value)
    length = next(size for size in range(len(line), 9000) if len(b"%d" % size) + len(line) == size)
    record = b"%d" % length + line
    before = block(b"facts", b"%011o\0" % len(record), b"x") + record + bytes(-len(record) % 512)
    return before + block(b"a.noisy.wav", b"%011o\0" % 4) + b"abcd" + bytes(508 + 1024)


MINUS, MUCH = b"\xff" * 4 + (2**64 - 1024).to_bytes(8, "big"), b"\x80\0\0\0" + (1 << 36).to_bytes(8, "big")
HEADERS = {
    "less than nothing": block(b"a.noisy.wav", MINUS),
    "a name of less than nothing": block(b"a", MINUS, b"L"),
    "a name of 64 GB": block(b"a", MUCH, b"L"),
    "facts of 64 GB": block(b"a", MUCH, b"x"),
    "a size of minus five": facts(b"size", b"-5"),
    "holes that are none": facts(b"GNU.sparse.map", b"0,1,x"),
    "three thousand headers in a row": block(b"a", b"%011o\0" % 0, b"x") * 3000,
    "packed nothing": gzip.compress(block(b"a.noisy.wav", MUCH) + bytes(1 << 20)),
    "packed and cut": gzip.compress(facts(b"comment", b"x"))[:60],
}


@pytest.mark.parametrize("which", HEADERS)
def test_headers_that_lie_are_refused_by_name(which: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(HEADERS[which] + bytes(1024) * (not which.startswith("packed")))
    with path.open("ab") as file:
        file.truncate((1 << 36) + 4096)  # holes: all that is claimed is there, and costs nothing
    for read in (lambda: list(pairs_in(str(path))), lambda: list(enhanced_shard(path, tmp_path / "b.tar", turned))):
        with bounded(seconds=10, gigabytes=1), pytest.raises(ValueError, match="a.tar") as caught:
            read()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key, value", [(b"mtime", b"inf"), (b"mtime", b"nan"), (b"comment", b"x"), (b"size", b"4")])
def test_facts_about_a_member_do_not_outlive_it(key: bytes, value: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(facts(key, value))
    list(enhanced_shard(tmp_path / "a.tar", tmp_path / "b.tar", lambda content, name: (content * 3, 1.0)))
    assert contents(tmp_path / "b.tar") == {"a.noisy.wav": b"abcd" * 3}


def turned(content: bytes, name: str) -> tuple[bytes, float]:
    return content[::-1], 1.0


LISTS = {
    "a.csv": [b"path\n" + b"x" * 200_000, b"path\nb\0.wav\n", b"path\n\xff\xfe.wav\n"],
    "a.jsonl": [b"5\n", b"[]\n", b"null", b"{", b"[" * 100_000, b"\xff\n"],
}


@pytest.mark.parametrize(("name", "number"), [(name, number) for name in LISTS for number in range(len(LISTS[name]))])
def test_a_manifest_that_is_none_is_refused_by_its_name(name: str, number: int, tmp_path: Path) -> None:
    pytest.importorskip("fsspec")
    from frcrn.scale.planning import plan

    path = tmp_path / name
    path.write_bytes(LISTS[name][number])
    try:
        pieces = plan(str(path), str(tmp_path / "out"))
    except ValueError as error:
        assert str(path) in str(error) and "\n" not in str(error) and len(str(error)) < 500
    else:
        assert all(piece.problem for piece in pieces)


@pytest.mark.parametrize("value", ['"abc"', "[]", "{}", "-1"])
@pytest.mark.parametrize("key", ["start", "end"])
def test_seconds_that_are_none_are_a_problem_of_their_row(key: str, value: str, tmp_path: Path) -> None:
    pytest.importorskip("fsspec")
    from frcrn.scale.planning import plan

    (tmp_path / "b.wav").write_bytes(b"RIFF")
    (tmp_path / "a.jsonl").write_text(f'{{"path": "b.wav", "{key}": {value}}}\n')
    (piece,) = plan(str(tmp_path / "a.jsonl"), str(tmp_path / "out"))
    assert piece.problem and "\n" not in piece.problem


def test_a_pattern_of_two_stars_does_not_look_through_a_whole_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.tar", "deep/er/b.tar", "deep/[x]/c.tar", ".hidden/d.tar"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    for pattern in ("**/*.tar", "**", "./**/**/*.tar", f"{tmp_path}/**/*.tar"):
        names = shards.found([pattern])
        assert [Path(name).name for name in names] == ["a.tar", "c.tar", "b.tar"], pattern
    assert shards.found(["**/*.tar", "a.tar"]) == shards.found(["**/*.tar"])
    monkeypatch.setattr(shards, "MOST_FOLDERS", 50)
    with (
        bounded(seconds=5, gigabytes=1),
        pytest.raises(ValueError, match=r"^/\*\*: \*\* leads to more than 50 folders"),
    ):
        shards.found(["/**"])
