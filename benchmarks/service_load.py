"""Many clients at one server on this machine: files and streams, every answer compared, memory and latencies.

python benchmarks/service_load.py                                      # 50 clients for 3 minutes
python benchmarks/service_load.py --files 4 --streams 4 --seconds 20     # a try
"""

from __future__ import annotations

import argparse
import collections
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from websockets.sync.client import connect

from frcrn import audio, enhance_file, load
from frcrn.audio.sample import sample
from frcrn.inference.network import Network

KINDS = 10  # different recordings
CHUNK = 0.1  # seconds of a stream's messages, sent as fast as they would be spoken
EVERY = 30.0  # seconds between two looks at the memory


class Clip(NamedTuple):
    """A recording as a file and as samples, and what is expected of both."""

    file: bytes
    clean_file: bytes
    samples: bytes
    clean_samples: np.ndarray
    seconds: float


class Tally:
    """What happened, over all clients."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.counts: collections.Counter[str] = collections.Counter()
        self.latencies: dict[str, list[float]] = collections.defaultdict(list)

    def note(self, what: str, seconds: list[float] | None = None) -> None:
        """Count something, with how long it took."""
        with self.lock:
            self.counts[what] += 1
            self.latencies[what] += seconds or []


def make(folder: Path, model: Network) -> list[Clip]:
    """Cut recordings out of the bundled sample, 2 to 6 seconds long, and enhance them here."""
    noisy, rate = sample().samples[0], sample().rate
    random, clips = np.random.default_rng(0), []
    for number in range(KINDS):
        wave = np.roll(noisy, 9973 * number)[: round(random.uniform(2, 6) * rate)]
        source, target = folder / f"{number}.wav", folder / f"{number}.clean.wav"
        audio.write(source, wave, rate)
        enhance_file(source, target, model=model)
        whole = np.rint(wave * 32767).astype("<i2")
        stream = model.stream(rate)
        clean = np.concatenate([stream.push(whole), stream.flush()])
        clips.append(Clip(source.read_bytes(), target.read_bytes(), whole.tobytes(), clean, len(wave) / rate))
    return clips


def send_files(port: int, clip: Clip, end: float, tally: Tally) -> None:
    """Send one file again and again until the time is over."""
    while time.monotonic() < end:
        begun = time.monotonic()
        try:
            status, body, wait = post(port, clip.file)
        except (OSError, http.client.HTTPException) as error:
            tally.note(f"file: {type(error).__name__}")
            continue
        if status == 503:
            tally.note("file: told to come again")
            time.sleep(min(float(wait or 1), max(0.0, end - time.monotonic())))
        elif status == 200 and body == clip.clean_file:
            tally.note("file: right", [time.monotonic() - begun])
        else:
            tally.note(f"file: WRONG ({status})")


def post(port: int, file: bytes) -> tuple[int, bytes, str | None]:
    """Send a file; return the status, the answer, and how long to wait if refused."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    try:
        connection.request("POST", "/v1/enhance?name=a.wav", file)
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.getheader("Retry-After")
    finally:
        connection.close()


def send_streams(port: int, clip: Clip, end: float, tally: Tally, rate: int) -> None:
    """Speak one recording again and again until the time is over."""
    while time.monotonic() < end:
        try:
            found, lags = streamed(port, clip, rate)
        except Exception as error:  # noqa: BLE001 - counted
            tally.note(f"stream: {type(error).__name__}")
            continue
        same = len(found) == len(clip.clean_samples) and np.abs(found - clip.clean_samples.astype(int)).max() <= 1
        tally.note("stream: right" if same else "stream: WRONG", lags)


def streamed(port: int, clip: Clip, rate: int) -> tuple[np.ndarray, list[float]]:
    """Speak a recording; return what came, and how late each chunk was beyond the stream's own latency."""
    with connect(f"ws://127.0.0.1:{port}/v1/stream", open_timeout=120, ping_timeout=None, proxy=None) as socket:
        socket.send(json.dumps({"rate": rate, "format": "s16le"}))
        latency = round(json.loads(socket.recv(120))["latency_ms"] * rate / 1000)
        sent: collections.deque[tuple[int, float]] = collections.deque()
        thread = threading.Thread(target=speak, args=[socket, clip.samples, rate, sent])
        thread.start()
        parts, taken, lags = [], 0, []
        for message in socket:
            if not isinstance(message, bytes):
                continue
            parts.append(message)
            taken += len(message) // 2
            while sent and sent[0][0] - latency <= taken:
                lags.append(time.monotonic() - sent.popleft()[1])
        thread.join()
    return np.frombuffer(b"".join(parts), "<i2").astype(int), lags


def speak(socket: object, samples: bytes, rate: int, sent: collections.deque[tuple[int, float]]) -> None:
    """Send samples as fast as they would be spoken."""
    size, begun = 2 * round(CHUNK * rate), time.monotonic()
    for start in range(0, len(samples), size):
        time.sleep(max(0.0, begun + start / 2 / rate - time.monotonic()))
        sent.append((min(start + size, len(samples)) // 2, time.monotonic()))
        socket.send(samples[start : start + size])  # type: ignore[attr-defined]
    socket.send('{"end": true}')  # type: ignore[attr-defined]


def resident(pid: int) -> float:
    """Return a process's memory in MiB."""
    return int(re.findall(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[0]) / 1024


def watched(pid: int, threads: list[threading.Thread], begun: float) -> list[tuple[float, float]]:
    """Wait for the clients, and look at the server's memory meanwhile: (seconds, MiB)."""
    seen = []
    while any(thread.is_alive() for thread in threads):
        seen.append((time.monotonic() - begun, resident(pid)))
        deadline = time.monotonic() + EVERY
        while time.monotonic() < deadline and any(thread.is_alive() for thread in threads):
            time.sleep(0.2)
    return seen


def tables(tally: Tally, seen: list[tuple[float, float]], files: int, streams: int, seconds: float) -> str:
    """Return what happened as Markdown."""
    lines = [f"{files} clients with files and {streams} with streams, {seconds:.0f} s:", ""]
    lines += ["| answers | count | median | 95 % | longest |", "|---|---|---|---|---|"]
    for what, count in sorted(tally.counts.items()):
        times = tally.latencies[what]
        cells = [f"{1000 * value:.0f} ms" for value in np.percentile(times, [50, 95, 100])] if times else ["", "", ""]
        lines.append(f"| {what} | {count} | {' | '.join(cells)} |")
    lines += ["", f"| after | {' | '.join(f'{at:.0f} s' for at, _ in seen)} |", f"|---|{'---|' * len(seen)}"]
    lines.append(f"| memory (MiB) | {' | '.join(f'{size:.0f}' for _, size in seen)} |")
    return "\n".join(lines)


def main() -> int:
    """Run the load, print the tables, and fail where an answer was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=25, help="clients that send files")
    parser.add_argument("--streams", type=int, default=25, help="clients that send streams")
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as folder:
        clips, rate = make(Path(folder), load(runtime="auto")), sample().rate
    limits = ["--workers", str(args.workers), "--queue", str(args.files), "--streams", str(args.streams)]
    command = [sys.executable, "-m", "frcrn", "serve", "--port", "0", *limits]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline().split("127.0.0.1:")[1].split()[0])
        tally, begun = Tally(), time.monotonic()
        end, threads = begun + args.seconds, []
        for number in range(args.files + args.streams):
            given = [port, clips[number % KINDS], end, tally]
            alike = {"target": send_files, "args": given} if number < args.files else {"target": send_streams}
            threads.append(threading.Thread(**{"args": [*given, rate], **alike}))
            threads[-1].start()
        seen = watched(server.pid, threads, begun)
        server.terminate()
        print(tables(tally, seen, args.files, args.streams, time.monotonic() - begun))
        print(f"server ended with {server.wait(60)}")
    return int(any("right" not in what and "come again" not in what for what in tally.counts))


if __name__ == "__main__":
    sys.exit(main())
