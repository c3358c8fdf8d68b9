"""Read, write and resample audio; every container's trouble becomes one `AudioError`."""

from frcrn.audio.formats import ACCEPTED, AudioError, AudioFormat, MissingPackage, format_for, is_audio_name
from frcrn.audio.reading import BLOCK, Audio, Reader, Samples, Source, blocks, find, finite, read
from frcrn.audio.resampling import checked_rate, exactly, resample, resampled, resampled_length
from frcrn.audio.writing import replacing, write, writer

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
    "blocks",
    "checked_rate",
    "exactly",
    "find",
    "finite",
    "format_for",
    "is_audio_name",
    "read",
    "replacing",
    "resample",
    "resampled",
    "resampled_length",
    "write",
    "writer",
]
