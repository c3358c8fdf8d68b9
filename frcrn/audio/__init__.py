"""Read, write and resample audio; every container's trouble becomes one `AudioError`."""

from frcrn.audio.arrays import as_floats, like
from frcrn.audio.formats import (
    ACCEPTED,
    AudioError,
    AudioFormat,
    MissingPackage,
    format_for,
    is_audio_name,
    is_media_name,
    writable,
)
from frcrn.audio.reading import (
    BLOCK,
    Audio,
    Reader,
    Samples,
    Source,
    blocks,
    find,
    finite,
    name_of,
    open_source,
    read,
)
from frcrn.audio.remux import Origin
from frcrn.audio.resampling import checked_rate, exactly, resample, resampled, resampled_length, silence_after
from frcrn.audio.writing import write, writer
from frcrn.files import replacing

__all__ = [
    "ACCEPTED",
    "BLOCK",
    "Audio",
    "AudioError",
    "AudioFormat",
    "MissingPackage",
    "Reader",
    "Samples",
    "Source",
    "as_floats",
    "blocks",
    "checked_rate",
    "exactly",
    "find",
    "finite",
    "format_for",
    "is_audio_name",
    "is_media_name",
    "Origin",
    "like",
    "name_of",
    "open_source",
    "read",
    "replacing",
    "resample",
    "resampled",
    "resampled_length",
    "silence_after",
    "writable",
    "write",
    "writer",
]
