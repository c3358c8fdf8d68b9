"""Containers and sample formats: which extension holds what, and what was found where no audio was."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import soundfile


class AudioError(ValueError):
    """Audio that cannot be read, used or written; the message is one sentence that names it."""


class MissingPackage(ImportError):
    """An optional package that is needed and not installed; the message says how to install it."""


def installing(extra: str) -> str:
    """Say how to install an extra of what is installed here, the full package or the runtime alone."""
    name = "frcrn" if find_spec("frcrn.models") else "frcrn-runtime"
    return f'pip install "{name}[{extra}]"'


class AudioFormat(NamedTuple):
    """How samples are stored, in libsndfile's names: ("WAV", "PCM_16"), ("OGG", "OPUS")."""

    container: str
    subtype: str


MEDIA: dict[str, tuple[str, tuple[str, ...]]] = {
    ".m4a": ("ipod", ("aac", "alac")),
    ".m4b": ("ipod", ("aac", "alac")),
    ".m4v": ("mp4", ("aac", "ac3", "alac")),
    ".mp4": ("mp4", ("aac", "mp3", "ac3", "alac", "opus")),
    ".mov": ("mov", ("aac", "mp3", "ac3", "alac", "pcm_s16le")),
    ".3gp": ("3gp", ("aac", "amrnb")),
    ".mkv": ("matroska", ("opus", "aac", "vorbis", "mp3", "flac", "ac3", "pcm_s16le")),
    ".mka": ("matroska", ("opus", "aac", "vorbis", "mp3", "flac", "ac3", "pcm_s16le")),
    ".webm": ("webm", ("opus", "vorbis")),
    ".wma": ("asf", ("wmav2",)),
    ".wmv": ("asf", ("wmav2",)),
    ".avi": ("avi", ("mp3", "ac3", "pcm_s16le")),
    ".ts": ("mpegts", ("aac", "mp2", "ac3", "mp3")),
    ".mts": ("mpegts", ("aac", "mp2", "ac3", "mp3")),
    ".m2ts": ("mpegts", ("aac", "mp2", "ac3", "mp3")),
    ".flv": ("flv", ("aac", "mp3")),
    ".mpg": ("mpeg", ("mp2", "ac3")),
    ".mpeg": ("mpeg", ("mp2", "ac3")),
    ".aac": ("adts", ("aac",)),
    ".amr": ("amr", ("amrnb",)),
}
"""With the extra `media`: extension -> container and codecs in ffmpeg's names, the first the default."""

ACCEPTED = "wav, flac, ogg, opus, mp3 (and aiff, au, caf, w64, rf64)"

MEDIA_NAMES = "m4a, mp4, mov, mkv, webm, wma, amr and others"

# The first container of an extension is its default; the others are kept where the source has them.
CONTAINERS: dict[str, tuple[str, ...]] = {
    ".wav": ("WAV", "WAVEX", "RF64"),
    ".wave": ("WAV", "WAVEX", "RF64"),
    ".flac": ("FLAC",),
    ".ogg": ("OGG",),
    ".oga": ("OGG",),
    ".opus": ("OGG",),
    ".mp3": ("MP3",),
    ".aiff": ("AIFF",),
    ".aif": ("AIFF",),
    ".aifc": ("AIFF",),
    ".au": ("AU",),
    ".caf": ("CAF",),
    ".w64": ("W64",),
    ".rf64": ("RF64",),
}

# What to write where the container does not know the source's sample format, best first.
NEAREST: dict[str, tuple[str, ...]] = {
    "PCM_32": ("PCM_32", "PCM_24"),
    "PCM_24": ("PCM_24",),
    "PCM_S8": ("PCM_S8", "PCM_U8"),
    "PCM_U8": ("PCM_U8", "PCM_S8"),
    "FLOAT": ("FLOAT", "PCM_24"),
    "DOUBLE": ("DOUBLE", "FLOAT", "PCM_24"),
}
LOSSY = {"MP3": "MPEG_LAYER_III", "OGG": "VORBIS"}

BYTES = {"PCM_S8": 1, "PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}
WAV_LIMIT = 2**32 - 2**16  # a wav header counts bytes in 32 bits; leave room for the header itself

Magic = tuple[tuple[int, bytes, str], ...]
OURS: Magic = (
    (0, b"RIFF", "wav file"),
    (0, b"RF64", "rf64 file"),
    (0, b"RIFX", "wav file with its bytes the other way round"),
    (0, b"riff", "w64 file"),
    (0, b"caff", "caf file"),
    (0, b".snd", "au file"),
    (0, b"fLaC", "flac file"),
    (0, b"OggS", "ogg file, or one without Vorbis or Opus audio"),
    (0, b"ID3", "mp3 file"),
    (0, b"FORM", "aiff file"),
    (0, b"\xff\xfb", "mp3 file"),
)
"""Where files that can be read begin with what, and what they are."""

OTHERS: Magic = (
    (4, b"ftyp", "an MPEG-4 file (m4a, mp4)"),
    (0, b"\xff\xf1", "an AAC stream"),
    (0, b"\xff\xf9", "an AAC stream"),
    (0, b"\x1aE\xdf\xa3", "a Matroska or WebM file"),
    (0, b"0&\xb2u", "a Windows Media file"),
    (0, b"#!AMR", "an AMR file"),
    (0, b"FLV\x01", "a Flash video"),
    (0, b"\x00\x00\x01\xba", "an MPEG file (mpg)"),
    (0, b"BW64", "a BW64 file"),
    (0, b"wvpk", "a WavPack file"),
    (0, b"TTA1", "a True Audio file"),
    (0, b"\x7f\xfe\x80\x01", "a DTS stream"),
    (0, b"\x0bw", "an AC-3 stream"),
    (0, b"PK\x03\x04", "a zip archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"%PDF", "a PDF document"),
    (0, b"\x89PNG", "a PNG picture"),
    (0, b"\xff\xd8\xff", "a JPEG picture"),
)


_MEDIA_KINDS = ("an MPEG-4", "an AAC", "a Matroska", "a Windows Media", "an AMR", "an AVI", "a Flash", "an MPEG file")


def is_media(head: bytes) -> bool:
    """Tell whether the first bytes are those of a container that PyAV reads and libsndfile does not."""
    return kind_of(head, damaged=False).startswith(_MEDIA_KINDS)


def kind_of(head: bytes, *, damaged: bool = True) -> str:
    """Say in words what the first bytes look like: those of something unreadable, or of a file that may be whole."""
    if head[8:12] == b"AVI ":
        return "an AVI file"
    if any(head[start : start + 2 * length : length] == b"GG" for start, length in ((0, 188), (4, 192))):
        return "an MPEG file (ts)"  # packets of one length, each of which begins with the same byte
    for start, magic, kind in OURS:
        if head[start : start + len(magic)] == magic:
            return f"a damaged or truncated {kind}" if damaged else kind.partition(",")[0]
    for start, magic, kind in OTHERS:
        if head[start : start + len(magic)] == magic:
            return kind
    try:
        text = head[:512].decode("ascii")
    except UnicodeDecodeError:
        return "data of no known audio format"
    readable = all(letter.isprintable() or letter.isspace() for letter in text)
    return "text" if readable else "data of no known audio format"


def is_audio_name(path: str | os.PathLike[str]) -> bool:
    """Tell whether the extension is one that we read and write."""
    return Path(path).suffix.lower() in CONTAINERS


def is_media_name(path: str | os.PathLike[str]) -> bool:
    """Tell whether the extension is one that is read and written with the extra `media`."""
    return Path(path).suffix.lower() in MEDIA


def needs_media(name: str, kind: str) -> str:
    """Say that PyAV is missing."""
    return f"{name}: found {kind}; accepted are {ACCEPTED}, and with {installing('media')} also {MEDIA_NAMES}"


def format_for(path: str | os.PathLike[str], source: AudioFormat | None = None) -> AudioFormat:
    """Choose what to write to `path`: the extension's container, and the source's sample format as near as it goes."""
    suffix = Path(path).suffix.lower()
    if suffix in MEDIA:
        container, codecs = MEDIA[suffix]
        return AudioFormat(container, source.subtype if source and source.subtype in codecs else codecs[0])
    if suffix not in CONTAINERS:
        found = f"the extension {suffix}" if suffix else "a name without extension"
        raise AudioError(f"{path}: {found} does not say which audio format to write; accepted are {ACCEPTED}")
    containers = CONTAINERS[suffix]
    container = source.container if source and source.container in containers else containers[0]
    if suffix == ".opus":
        return AudioFormat(container, "OPUS")
    return AudioFormat(container, _subtype(container, source))


def _subtype(container: str, source: AudioFormat | None) -> str:
    """Keep the source's sample format within its container, else take the nearest uncompressed or the lossy one."""
    if source and container == source.container and writable(source):
        return source.subtype
    if container in LOSSY:
        return LOSSY[container]
    near = NEAREST.get(source.subtype, ()) if source else ()
    return next((subtype for subtype in near if writable(AudioFormat(container, subtype))), "PCM_16")


def writable(form: AudioFormat) -> bool:
    """Tell whether the container can be written with that sample format; two of those of MPEG are only read."""
    if form.container in (container for container, _ in MEDIA.values()):
        return any(form.container == container and form.subtype in codecs for container, codecs in MEDIA.values())
    return (
        form.container.isupper()
        and form.subtype not in ("MPEG_LAYER_I", "MPEG_LAYER_II")
        and bool(soundfile.check_format(*form))
    )


def holding(form: AudioFormat, channels: int, frames: int) -> AudioFormat:
    """Widen wav to RF64, its 64-bit form, where so many frames would not fit."""
    size = frames * channels * BYTES.get(form.subtype, 0)
    return form._replace(container="RF64") if form.container in ("WAV", "WAVEX") and size > WAV_LIMIT else form
