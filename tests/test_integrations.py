"""The classes on docs/integrations.md do what the library's stream does, in the real frameworks, where these are."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frcrn.inference.opening import open_network
from tests.docs_runner import blocks
from tests.made_audio import noise, speech

PAGE = "docs/integrations.md"
CODE = [block.code for block in blocks(PAGE) if block.language == "python"]
CLIP = np.rint((speech(1.0, 1) + noise(1.0, 2)) * 32767).astype(np.int16)


@pytest.fixture
def page_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], dict[str, Any]]:
    """Give what runs the program that imports a package, from a file: FunASR asks where a class is from."""

    def run(package: str) -> dict[str, Any]:
        (tmp_path / "page.py").write_text(code_for(package), encoding="utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "page", raising=False)
        return vars(importlib.import_module("page"))

    return run


def code_for(package: str) -> str:
    """Return the program that imports a package; skip where that is missing."""
    top = package.partition(".")[0]
    if find_spec(top) is None:
        pytest.skip(f"{top} is not installed")
    return next(code for code in CODE if f"from {package}" in code)


def expected(samples: np.ndarray, rate: int = 16000, channels: int = 1, strength: float = 1.0) -> np.ndarray:
    """What the library's stream makes of it."""
    stream = open_network("default").stream(rate, channels, strength)
    return np.concatenate([stream.push(samples), stream.flush()], axis=-1)


def test_each_is_shorter_than_sixty_lines() -> None:
    assert len(CODE) == 3
    assert max(len(code.splitlines()) for code in CODE) < 60


def test_the_filter_of_pipecat(page_with: Callable[[str], dict[str, Any]]) -> None:
    filter = page_with("pipecat.audio.filters.base_audio_filter")["NoiseFilter"]()
    from pipecat.frames.frames import FilterEnableFrame, FilterUpdateSettingsFrame

    async def run(samples: np.ndarray) -> np.ndarray:
        pieces = [samples[start : start + 320].tobytes() for start in range(0, len(samples), 320)]
        return np.frombuffer(b"".join([await filter.filter(piece) for piece in pieces]), np.int16)

    async def everything() -> None:
        assert await filter.filter(b"\0\1") == b"\0\1"  # before it has begun
        await filter.start(16000)
        clean = await run(CLIP)
        assert len(CLIP) - filter.stream.latency <= len(clean) < len(CLIP)
        np.testing.assert_allclose(clean, expected(CLIP)[: len(clean)], atol=1)
        await filter.process_frame(FilterEnableFrame(False))
        await filter.start(16000)
        filter.stream.strength = 1.0
        await filter.process_frame(FilterEnableFrame(False))
        untouched = await run(CLIP)
        np.testing.assert_array_equal(untouched[8000:], CLIP[8000 : len(untouched)])
        await filter.process_frame(FilterEnableFrame(True))
        await filter.process_frame(FilterUpdateSettingsFrame({"strength": 0.5}))
        assert filter.stream.strength == 0.5
        await filter.stop()

    asyncio.run(everything())


@pytest.mark.parametrize(("rate", "channels"), [(16000, 1), (48000, 2)])
def test_the_frame_processor_of_livekit(page_with: Callable[[str], dict[str, Any]], rate: int, channels: int) -> None:
    page = page_with("livekit")
    processor, rtc = page["NoiseCancellation"](), page["rtc"]
    wave = np.stack([np.roll(CLIP, 99 * number) for number in range(channels)])
    frames = []
    for start in range(0, len(CLIP) - len(CLIP) % (rate // 100), rate // 100):
        data = np.ascontiguousarray(wave[:, start : start + rate // 100].T).tobytes()
        frame = processor._process(rtc.AudioFrame(data, rate, channels, rate // 100))
        assert (frame.sample_rate, frame.num_channels, frame.samples_per_channel) == (rate, channels, rate // 100)
        frames.append(np.frombuffer(frame.data, np.int16).reshape(-1, channels).T)
    out, late = np.concatenate(frames, axis=1), processor.stream.latency
    clean = expected(wave if channels > 1 else wave[0], rate, channels).reshape(channels, -1)
    assert not out[:, :late].any()
    np.testing.assert_allclose(out[:, late:], clean[:, : out.shape[1] - late], atol=1)
    processor.enabled = False
    assert not processor.enabled
    processor._close()


def test_livekit_takes_it_where_it_takes_its_own(page_with: Callable[[str], dict[str, Any]]) -> None:
    page = page_with("livekit")
    if find_spec("livekit.agents") is None:
        pytest.skip("livekit-agents is not installed")
    from livekit.agents import RoomInputOptions

    processor = page["NoiseCancellation"]()
    assert RoomInputOptions(noise_cancellation=processor).noise_cancellation is processor


def test_the_front_end_of_funasr(page_with: Callable[[str], dict[str, Any]]) -> None:
    import torch

    page = page_with("funasr.register")

    class Kept(torch.nn.Module):
        """A front end that keeps what it gets."""

        def __init__(self, **options: Any) -> None:
            super().__init__()
            self.options = options

        def output_size(self) -> int:
            return 80

        def forward(self, input: torch.Tensor, lengths: torch.Tensor, **options: Any) -> Any:
            return input, lengths

    tables = page["tables"]
    tables.register("frontend_classes", "Kept")(Kept)
    frontend = tables.frontend_classes["CleanFrontend"](fs=16000, inner="Kept", n_mels=80)
    assert frontend.output_size() == 80 and frontend.inner.options == {"fs": 16000, "n_mels": 80}
    wave = torch.from_numpy(CLIP / np.float32(32768))
    lengths = torch.tensor([len(CLIP), 8000])
    waves, kept = frontend(torch.stack([wave, wave]), lengths)
    for row, length in enumerate(kept.tolist()):
        clean = expected(wave.numpy()[:length])
        np.testing.assert_allclose(waves[row, :length].numpy(), clean, atol=1e-6)
    assert not waves[1, 8000:].any()


def test_funasr_s_own_front_end_is_given_clean_waves(page_with: Callable[[str], dict[str, Any]]) -> None:
    import torch

    page = page_with("funasr.register")
    frontends = pytest.importorskip("funasr.frontends.wav_frontend", reason="funasr's own front end lacks a package")
    frontend = page["CleanFrontend"](dither=0.0, window="hamming", n_mels=80, lfr_m=7, lfr_n=6)
    wave, length = torch.from_numpy(CLIP / np.float32(32768))[None], torch.tensor([len(CLIP)])
    features, count = frontend(wave, length)
    plain = frontends.WavFrontend(fs=16000, dither=0.0, window="hamming", n_mels=80, lfr_m=7, lfr_n=6)
    clean = torch.from_numpy(expected(wave[0].numpy()))[None]
    torch.testing.assert_close(features, plain(clean, length)[0], atol=1e-3, rtol=1e-3)
    assert count.tolist() == [features.shape[1]]
