"""What the service allows, and how it refuses the rest: a status and one sentence."""

from __future__ import annotations

from dataclasses import dataclass

MEGABYTE = 1 << 20
NO_ROOM = "the server has no room left on its disk; try again later, or send less"
CHANNELS, RATE = 8, 48000
"""What an upload of the longest time may have; with more of either it may be shorter only."""


class Refusal(Exception):
    """A request that is answered by an error: an HTTP status, one sentence, and headers."""

    def __init__(self, status: int, sentence: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.status, self.sentence, self.headers = status, sentence, headers or {}


@dataclass(frozen=True)
class Limits:
    """How much the service takes in, and how much it keeps."""

    megabytes: float = 200.0
    """Of one upload."""
    minutes: float = 60.0
    """Of sound in one upload."""
    workers: int = 1
    """Files enhanced at once, and threads for streams."""
    queue: int = 16
    """Files that wait for a worker."""
    streams: int = 32
    """WebSockets at once."""
    results: int = 64
    """Finished jobs kept."""
    kept_megabytes: float = 4096.0
    """Of all files of jobs together."""
    kept_minutes: float = 30.0
    """Until the result of a job is removed."""
    silent_seconds: float = 60.0
    """Until an upload or a stream of which nothing comes any more is ended."""
    slowest: float = 1024.0
    """Bytes a second of an upload, in the mean and after the first `silent_seconds`."""
    forgotten_minutes: float = 5.0
    """Until an unfinished job that nobody asks about is cancelled."""

    def __post_init__(self) -> None:
        for name in ("megabytes", "minutes", "workers"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} {getattr(self, name)}: accepted are numbers above 0")
        if self.queue < 0 or self.streams < 0:
            raise ValueError("queue and streams: accepted are whole numbers from 0")

    @property
    def bytes(self) -> int:
        """Of one upload."""
        return int(self.megabytes * MEGABYTE)

    def frames(self, rate: int, channels: int) -> int:
        """Of one upload: a small file can hold hundreds of silent channels, which then count as a longer one."""
        longer = max(1.0, channels / CHANNELS, rate * channels / (CHANNELS * RATE))
        return round(60 * self.minutes * rate / longer)

    def too_large(self) -> Refusal:
        """Return what is answered to an upload of too many bytes."""
        return Refusal(413, f"the upload is larger than {self.megabytes:g} MB, the most that this server accepts")

    def too_long(self) -> Refusal:
        """Return what is answered to an upload of too much sound."""
        fewer = f"fewer with over {CHANNELS} channels or {CHANNELS * RATE} samples a second"
        return Refusal(413, f"the sound is longer than {self.minutes:g} minutes, the most accepted here ({fewer})")
