"""Tar shards as WebDataset has them: audio is replaced, everything else is copied, a sample that fails is left out."""

from __future__ import annotations

import io
import math
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from frcrn.audio import AudioError, is_audio_name, is_media_name
from frcrn.data.tar import opened

LARGEST = 1 << 32
"""Bytes of a member, which is held in memory."""

Enhance = Callable[[bytes, str], tuple[bytes, float]]
Member = tuple[tarfile.TarInfo, bytes]


class Part(NamedTuple):
    """What became of one recording in a shard or a table: its seconds, or why it failed."""

    member: str
    seconds: float = 0.0
    error: str | None = None


def enhanced_shard(source: Path, target: Path, enhance: Enhance) -> Iterator[Part]:
    """Write the clean form of a shard; yield what became of each recording in it."""
    with opened(source) as noisy, tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as clean:
        for sample in samples(noisy):
            members, parts = enhanced_sample(sample, enhance)
            for info, content in members:
                clean.addfile(info, io.BytesIO(content))
            yield from parts


def samples(shard: tarfile.TarFile) -> Iterator[list[Member]]:
    """Yield the members that follow one another and share a key: the name up to the first dot of its last part."""
    sample: list[Member] = []
    for info in shard:
        content = shard.extractfile(info) if info.isreg() else None  # links lead elsewhere, or nowhere
        if content is None:
            continue
        if info.issparse() or info.size > LARGEST:
            raise AudioError(f"{info.name}: a member of {info.size} bytes; accepted are up to {LARGEST}, none of holes")
        if sample and key_of(sample[0][0].name) != key_of(info.name):
            yield sample
            sample = []
        sample.append((info, content.read()))
    if sample:
        yield sample


def key_of(name: str) -> str:
    """Return the key of a member's sample."""
    folder, slash, last = name.rpartition("/")
    return folder + slash + last.partition(".")[0]


def enhanced_sample(sample: list[Member], enhance: Enhance) -> tuple[list[Member], list[Part]]:
    """Return the members to write, none where one of them failed, and what became of each recording."""
    members, parts = [], []
    for info, content in sample:
        if is_audio_name(info.name) or is_media_name(info.name):
            try:
                content, seconds = enhance(content, info.name)
                parts.append(Part(info.name, seconds))
            except (ValueError, OSError, RuntimeError, ImportError) as error:
                parts.append(Part(info.name, error=str(error)))
        mend(info, len(content))
        members.append((info, content))
    return ([] if any(part.error for part in parts) else members), parts


def mend(info: tarfile.TarInfo, size: int) -> None:
    """Let a header say how large its member is now; facts that came with it count more than the header, and go."""
    info.size = size
    info.pax_headers = {key: value for key, value in info.pax_headers.items() if key not in ("size", "mtime")}
    if not math.isfinite(info.mtime):
        info.mtime = 0
