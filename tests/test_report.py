"""The page: what it shows, that it carries everything with it, and that a browser opens it without complaint."""

from __future__ import annotations

import http.server
import io
import json
import queue
import re
import shutil
import struct
import subprocess
import threading
import zlib
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from frcrn.audio import spectrogram
from frcrn.evaluation.compare import compare
from frcrn.evaluation.evaluate import Options, evaluate
from frcrn.evaluation.report import charts
from frcrn.evaluation.report import clips as gallery
from frcrn.evaluation.report.tables import between, markdown, number
from frcrn.evaluation.systems import Unprocessed
from tests.made_audio import RATE, noise, speech

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
EVIL = '<img src=x onerror="document.title=1">&"'
CLEAN = [speech(1.0, seed) for seed in range(5)]
PAIRS = [(f"clip {seed} {EVIL}", wave + noise(1.0, seed + 50), wave) for seed, wave in enumerate(CLEAN)]
PAIRS.append(("silent", 0 * CLEAN[0], 0 * CLEAN[0]))
QUICK = {"names": ("si_sdr", "stoi"), "workers": 1}


class Quieter(Unprocessed):
    """Passes a tenth, so that speech goes with the noise."""

    label = f"quieter {EVIL}{{{{body}}}}"

    def enhance(self, name: str, noisy: np.ndarray, rate: int) -> np.ndarray:
        return np.float32(0.1) * noisy

    def fingerprint(self) -> str:
        return "quieter"


class Elements(HTMLParser):
    """What a page is made of."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def every(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.found if name == tag]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One page about one system, one about two."""
    root = tmp_path_factory.mktemp("pages")
    evaluate(Quieter(), PAIRS, out=root / "one", probes=1, **QUICK)
    compare([Unprocessed(), Quieter()], PAIRS, root / "two", Options(probes=1, **QUICK))
    return {"one": root / "one" / "report.html", "two": root / "two" / "report.html"}


@pytest.mark.parametrize(("which", "clips"), [("one", 5), ("two", 5)])
def test_each_shown_clip_has_a_picture_and_a_player_of_each_signal(
    which: str, clips: int, pages: dict[str, Path]
) -> None:
    page = Elements(pages[which].read_text())
    images, players = page.every("img"), page.every("audio")
    assert len(images) == len(players) == 4 * clips
    assert len(page.every("svg")) == 4
    for image, player in zip(images, players, strict=True):
        assert str(image["src"]).startswith("data:image/png;base64,")
        assert str(player["src"]).startswith("data:audio/flac;base64,") and player["data-seconds"] == "1.000"


@pytest.mark.parametrize("which", ["one", "two"])
def test_the_page_needs_nothing_but_itself(which: str, pages: dict[str, Path]) -> None:
    text = pages[which].read_text()
    for _, attrs in Elements(text).found:
        for name in ("src", "href", "data", "action", "srcset", "poster"):
            assert str(attrs.get(name, "data:")).startswith("data:")
    assert not re.search(r"url\(|@import|https?://|<iframe|<object", text)


@pytest.mark.parametrize("which", ["one", "two"])
def test_names_are_text_and_never_markup(which: str, pages: dict[str, Path]) -> None:
    page = Elements(pages[which].read_text())
    assert all("onerror" not in attrs for _, attrs in page.found)
    assert f"clip 0 {EVIL}" in "".join(page.text) and Quieter.label in "".join(page.text)
    assert len(page.every("h1")) == 1


def test_failed_and_over_suppressed_clips_are_listed(pages: dict[str, Path]) -> None:
    text = "".join(Elements(pages["one"].read_text()).text)
    assert "silent: SI-SDR dB, STOI: the clean clip is silent" in text
    assert f"{Quieter.label}: over-suppressed (5)" in text


PROBE_HEAD = """<script>
window.problems = [];
addEventListener("error", event => problems.push(event.message || String(event.target.tagName)), true);
addEventListener("unhandledrejection", event => problems.push(String(event.reason)));
console.error = console.warn = (...words) => problems.push(words.join(" "));
</script>"""
PROBE_TAIL = """<script>
(async () => {
  const images = [...document.images], players = [...document.querySelectorAll("audio")], seconds = [];
  await Promise.all(images.map(image => image.decode()));
  for (const player of players) {
    await new Promise((good, bad) => {
      Object.assign(player, {onloadedmetadata: good, onerror: () => bad("no audio"), preload: "metadata"}).load();
    });
    seconds.push(player.duration);
  }
  const begun = new Promise(good => players[1].addEventListener("play", good));
  for (const player of players.slice(0, 2)) {
    const picture = player.previousElementSibling, box = picture.getBoundingClientRect();
    picture.dispatchEvent(new MouseEvent("click", {clientX: box.left + box.width / 2, clientY: box.top + 5}));
  }
  await begun;
  const result = {problems, images: images.map(i => i.naturalWidth), seconds, title: document.title,
    charts: [...document.querySelectorAll("svg")].map(s => s.getBoundingClientRect().height),
    playing: players.map(p => !p.paused), at: players[1].currentTime, wide: document.documentElement.scrollWidth};
  await fetch("/result", {method: "POST", body: JSON.stringify(result)});
})();
</script>"""
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--mute-audio",
    "--autoplay-policy=no-user-gesture-required",
    "--enable-logging=stderr",
    "--window-size=1200,900",
]


def opened(page: str, folder: Path) -> tuple[dict[str, object], str]:
    """Open a page in Chromium; return what its probe posts back, and what the browser logged."""
    posted: queue.Queue[bytes] = queue.Queue()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(page.encode())

        def do_POST(self) -> None:
            posted.put(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *words: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server, (folder / "log").open("w+") as log:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/"
        browser = subprocess.Popen(
            [str(CHROMIUM), *FLAGS, f"--user-data-dir={folder / 'profile'}", address], stdout=log, stderr=log
        )
        try:
            return json.loads(posted.get(timeout=300)), (folder / "log").read_text()
        finally:
            browser.terminate()
            browser.wait()
            server.shutdown()


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")
@pytest.mark.parametrize("which", ["one", "two"])
def test_a_browser_shows_and_plays_all_of_it(which: str, pages: dict[str, Path], tmp_path: Path) -> None:
    page = pages[which].read_text()
    probed = page.replace("<head>", "<head>" + PROBE_HEAD).replace("</body>", PROBE_TAIL + "</body>")
    result, log = opened(probed, tmp_path)
    assert result["problems"] == [] and "CONSOLE" not in log
    assert len(result["images"]) == len(result["seconds"]) == 20
    assert min(result["images"]) > 50 and min(result["charts"]) > 100
    np.testing.assert_allclose(result["seconds"], 1.0, atol=0.01)
    assert result["playing"] == [False, True] + [False] * 18  # one at a time, from where the picture was clicked
    assert 0.4 < result["at"] <= 1.0
    assert result["wide"] <= 1200 and result["title"] != "1"


def test_a_picture_is_a_png_of_what_sounds() -> None:
    time = np.arange(RATE) / RATE
    tone = np.sin(2 * np.pi * 2000 * time).astype(np.float32) * (time < 0.5)
    image = spectrogram.spectrogram(tone, spectrogram.loudest_bin(tone))
    assert image.shape == (128, 1 + (RATE - 512) // 128) and image.max() == spectrogram.COLOURS - 1
    loud = image[:, : image.shape[1] // 2 - 3]
    assert set(127 - loud.argmax(axis=0)) == {2000 * 128 // 8000}  # row 0 is 8 kHz
    assert image[:, image.shape[1] // 2 + 5 :].max() == 0
    file = spectrogram.png(image)
    width, height = struct.unpack(">II", file[16:24])
    start = file.index(b"IDAT") + 4
    pixels = np.frombuffer(zlib.decompress(file[start:]), np.uint8).reshape(height, width + 1)[:, 1:]
    np.testing.assert_array_equal(pixels, image)


def test_long_and_short_clips_make_pictures_of_bounded_width() -> None:
    assert spectrogram.spectrogram(noise(30, 1), 1.0).shape[1] <= spectrogram.COLUMNS
    assert spectrogram.spectrogram(noise(0.001, 1), 1.0).shape == (128, 1)


def test_players_hold_the_samples_to_16_bits() -> None:
    wave = speech(0.3, 1)
    samples, rate = soundfile.read(io.BytesIO(spectrogram.flac(wave, RATE)), dtype="float32")
    assert rate == RATE
    np.testing.assert_allclose(samples, wave, atol=1 / 32768)


@given(st.floats(-1e4, 1e4), st.floats(1e-3, 1e4))
def test_ticks_are_few_round_and_inside(low: float, width: float) -> None:
    marks = charts.ticks(low, low + width)
    steps = np.diff(marks)
    assert 2 <= len(marks) <= 8
    assert np.ptp(steps) < 1e-6 * width and low - 1e-6 * width <= marks[0] <= marks[-1] <= low + width * (1 + 1e-6)


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=30))
def test_plots_hold_every_clip_inside_their_frame(values: list[float]) -> None:
    points = [charts.Point(value, -value, "<b>") for value in values]
    svg = charts.scatter([points], "x", "y")
    places = [(float(x), float(y)) for x, y in re.findall(r'<circle cx="([\d.-]+)" cy="([\d.-]+)"', svg)]
    assert len(places) == len(values) and "<b>" not in svg
    assert all(charts.LEFT <= x <= charts.WIDTH and 0 <= y <= charts.HEIGHT - charts.BOTTOM for x, y in places)
    counts = re.findall(r"<title>(\d+) clips", charts.histogram([values], "x"))
    assert sum(map(int, counts)) == len(values)


@given(st.dictionaries(st.integers(0, 50), st.floats(-5, 5), max_size=30), st.integers(1, 12), st.sampled_from([1, -1]))
def test_the_worst_and_best_clips_are_the_extremes_and_none_is_shown_twice(
    values: dict[int, float], count: int, better: int
) -> None:
    worst, best = gallery.choose(values, better, count, "PESQ")
    places = [choice.place for choice in (*worst, *best)]
    assert len(places) == len(set(places)) == min(len(values), 2 * count)
    left = [better * values[place] for place in values if place not in places]
    for rest in left:
        assert max(better * values[choice.place] for choice in worst) <= rest
        assert min(better * values[choice.place] for choice in best) >= rest
    ordered = [better * values[choice.place] for choice in worst]
    assert ordered == sorted(ordered)


def test_numbers_are_written_with_their_interval_and_a_dash_for_none() -> None:
    found = {"mean": -1.234, "low": -2.0, "high": 0.5, "count": 3}
    assert between(found, 2) == "−1.23 (−2.00 to 0.50)" and between(found, 1, sign=True) == "−1.2 (−2.0 to +0.5)"
    assert between(found | {"low": None}, 2) == "−1.23" and number(None, 2) == "–"


def test_a_label_cannot_break_a_table() -> None:
    found = {"mean": 1.0, "low": 0.5, "high": 1.5, "count": 3}
    summary = {"label": "a|b\nc", "clips": 3, "seconds": 9.0, "metrics": {"stoi": found}}
    table = markdown([summary | {"over_suppressed": ["x"], "failed_clips": 0, "real_time_factor": 0.1}])
    assert table.splitlines()[2] == "| a\\|b c | 1.000 (0.500 to 1.500) | 1 | 0 | 0.100 |"
