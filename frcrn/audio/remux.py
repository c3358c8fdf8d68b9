"""Write the sound of a container anew with PyAV; its picture, tags and other tracks are copied untouched."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from frcrn.audio.formats import MEDIA, AudioError, AudioFormat, is_media
from frcrn.audio.media import chosen, open_container, spoken_of
from frcrn.audio.reading import Samples, finite
from frcrn.audio.tags import Tags, tags_of

_ENCODERS = {"opus": "libopus", "vorbis": "libvorbis", "mp3": "libmp3lame", "amrnb": "libopencore_amrnb"}
_KBPS = {"aac": 96, "libopus": 64, "libvorbis": 80, "libmp3lame": 96, "wmav2": 96, "ac3": 128}
"""kbit/s a channel where the source has none to keep."""


class Origin(NamedTuple):
    """The recording that is written anew: what is not its chosen sound is copied from it."""

    stream: BinaryIO
    name: str
    track: int | None = None


_KEYS = {"track": "TRACKNUMBER", "album_artist": "ALBUMARTIST", "disc": "DISCNUMBER"}
_TECHNICAL = ("major_brand", "minor_version", "compatible_brands", "encoder", "creation_time")


def kept_tags(origin: Origin) -> Tags:
    """Return the tags of a recording of any kind; of containers, the texts."""
    origin.stream.seek(0)
    if not is_media(origin.stream.read(512)):
        return tags_of(origin.stream)
    with open_container(origin.stream, origin.name) as container:
        texts = [(key, value) for key, value in container.metadata.items() if key.lower() not in _TECHNICAL]
        return Tags([f"{_KEYS.get(key.lower(), key.upper())}={value}".encode() for key, value in texts])


UNWRITABLE = "cannot be written: {}"
_IN_PARTS = {"movflags": "hybrid_fragmented+delay_moov", "frag_duration": "1000000"}
"""An mp4 that can be read as far as it came, second by second; what is written whole is an ordinary one."""


def muxer(container: str, *, keep: bool = False) -> dict[str, Any]:
    """Return PyAV's name of a container and its options; a player need not have all of an mp4 to begin.

    With `keep`, nor need the disk have room for its end.
    """
    whole = _IN_PARTS if keep else {"movflags": "faststart"}
    options = whole if container in ("ipod", "mp4", "mov", "3gp") else {}
    # PyAV puts no cover into ffmpeg's `ipod`, which is mp4 under another brand
    return (
        {"format": "mp4", "options": options | {"brand": "M4A "}}
        if container == "ipod"
        else {
            "format": container,
            "options": options,
        }
    )


class MediaEncoder:
    """Encode blocks into the container `beside`, in whose messages `path` stands."""

    def __init__(
        self,
        beside: Path,
        path: Path,
        rate: int,
        channels: int,
        form: AudioFormat,
        origin: Origin | None,
        *,
        keep: bool = False,
    ) -> None:
        import av

        self.path, self.rate, self.written = path, rate, 0
        self._source = _opened(origin)
        old = chosen(self._source, str(path), origin.track) if self._source and origin else None
        with spoken_of(str(path), UNWRITABLE):
            container = MEDIA.get(path.suffix.lower(), (form.container,))[0]
            self._sink = av.open(str(beside), "w", **muxer(container, keep=keep))
            self._copies: dict[int, Any] = {}
            self._layout = _layout(channels, old)
            self._sound = self._add_streams(form, channels, old, origin)
        codec = self._sound.codec_context
        self._fits = av.AudioResampler(codec.format, codec.layout, codec.sample_rate)
        self._start = max(0.0, float((old.start_time or 0) * old.time_base)) if old is not None else 0.0
        self._packets = self._others()
        self._next = next(self._packets, None)

    def __enter__(self) -> MediaEncoder:
        return self

    def __exit__(self, kind: object, *error: object) -> None:
        with spoken_of(str(self.path), UNWRITABLE):
            if kind is None:
                self._mux(self._sound.encode(frame) for frame in [*self._fits.resample(None), None])
                self._copy_until(float("inf"))
            self._sink.close()
        if self._source:
            self._source.close()

    def append(self, samples: Samples) -> None:
        """Encode [C, n], and copy what else belongs to that time."""
        import av

        block = finite(samples, str(self.path), self.rate, start=self.written)
        if not block.shape[1]:  # a stream's first block; PyAV makes no frame of nothing
            return
        with spoken_of(str(self.path), UNWRITABLE):
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(np.clip(block, -1, 1)), "fltp", self._layout)
            frame.sample_rate, frame.time_base = self.rate, Fraction(1, self.rate)
            frame.pts = round(self._start * self.rate) + self.written
            self.written += block.shape[1]
            self._mux(self._sound.encode(part) for part in self._fits.resample(frame))
            self._copy_until(self._start + self.written / self.rate)

    def confirm(self) -> None:
        """Trust PyAV, which says so when it cannot write."""

    def _add_sound(self, form: AudioFormat, channels: int, old: Any) -> Any:
        import av

        encoder = self._encoder_for(form)
        codec = av.codec.Codec(encoder, "w")
        telephone = encoder == "libopencore_amrnb"  # it takes one channel at 8 kHz, and does not say so
        sound = self._sink.add_stream(encoder, rate=8000 if telephone else _nearest(codec.audio_rates, self.rate))
        same = old is not None and old.codec_context.name == form.subtype
        sound.layout = "mono" if telephone else self._layout if same else _layout(channels, None)
        kept = old.bit_rate if same else None
        if kept or encoder in _KBPS:
            sound.bit_rate = kept or 1000 * _KBPS[encoder] * channels
        return sound

    def _encoder_for(self, form: AudioFormat) -> str:
        """Return the encoder of the format, where there is none that of the container's next best one."""
        others = MEDIA.get(self.path.suffix.lower(), ("", ()))[1]
        for codec in (form.subtype, *others):
            encoder = _ENCODERS.get(codec, codec)
            if _can_encode(encoder):
                return encoder
        raise AudioError(f"{self.path}: PyAV has no encoder for {form.subtype} here; write m4a or wav instead")

    def _add_streams(self, form: AudioFormat, channels: int, old: Any, origin: Origin | None) -> Any:
        """Add the sound, in the place of the one that it is made of, and what else the source holds; return the sound.

        What the container does not take is left out.
        """
        if not self._source or origin is None:
            return self._add_sound(form, channels, old)
        # what came out of a container fits into one of its kind, whatever PyAV knows of it
        same = Path(origin.name).suffix.lower() == self.path.suffix.lower()
        taken = self._sink.supported_codecs
        self._sink.metadata.update(self._source.metadata)
        sound = None if old in self._source.streams else self._add_sound(form, channels, old)
        for stream in self._source.streams:
            if stream is old:
                sound = self._add_sound(form, channels, old)
                sound.metadata.update(old.metadata)
                continue
            known = stream.type in ("video", "audio", "subtitle")
            if known and (same or not taken or stream.codec_context.name in taken):
                self._copies[stream.index] = self._sink.add_stream_from_template(stream, opaque=True)
                self._copies[stream.index].metadata.update(stream.metadata)
                self._copies[stream.index].disposition = stream.disposition
        return sound

    def _others(self) -> Iterator[Any]:
        """Yield the packets of what is copied, in the source's order."""
        if self._copies:
            with spoken_of(str(self.path)):
                wanted = [self._source.streams[index] for index in self._copies]
                yield from (packet for packet in self._source.demux(wanted) if packet.size)

    def _copy_until(self, seconds: float) -> None:
        while self._next is not None:
            packet = self._next
            when = packet.dts if packet.dts is not None else packet.pts
            if when is not None and float(when * packet.time_base) > seconds:
                return
            packet.stream = self._copies[packet.stream.index]
            self._sink.mux(packet)
            self._next = next(self._packets, None)

    def _mux(self, packets: Any) -> None:
        for several in packets:
            self._sink.mux(several)


def _opened(origin: Origin | None) -> Any:
    """Open the source where it is a container that PyAV reads; without tags to keep, it does without."""
    if origin is None:
        return None
    try:
        return open_container(origin.stream, origin.name)
    except AudioError:
        return None


def _layout(channels: int, old: Any) -> str:
    """Name the places of channels: those of the sound that it is made of, where it says them and has as many."""
    if old is not None and old.layout.nb_channels == channels and not old.layout.name.endswith("channels"):
        return str(old.layout.name)
    return "mono" if channels == 1 else "stereo" if channels == 2 else f"{channels}c"


def _can_encode(name: str) -> bool:
    import av

    try:
        return bool(av.codec.Codec(name, "w").is_encoder)
    except ValueError:
        return False


def _nearest(rates: Any, rate: int) -> int:
    """The encoder's lowest rate that keeps the whole band, else its highest."""
    if not rates or rate in rates:
        return rate
    return int(min((known for known in rates if known > rate), default=max(rates)))
