from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import frcrn
from frcrn.audio import AudioError, write

NOISY = np.random.default_rng(0).uniform(-0.5, 0.5, 16000).astype(np.float32)


def players(page: str, kind: str = "flac") -> list[tuple[np.ndarray, int]]:
    found = re.findall(rf"data:audio/{kind};base64,([^\"]+)", page)
    return [soundfile.read(io.BytesIO(base64.b64decode(sound))) for sound in found]


def test_what_is_heard_is_what_was_given() -> None:
    page = frcrn.show(NOISY, torch.from_numpy(NOISY) / 2, 16000)._repr_html_()
    (noisy, rate), (enhanced, _) = players(page)
    assert rate == 16000
    np.testing.assert_allclose(noisy, NOISY, atol=2**-15)
    np.testing.assert_allclose(enhanced, NOISY / 2, atol=2**-15)
    assert page.count("data:image/png;base64,") == 2
    assert "<script" not in page


def test_files_of_any_rate_share_one_scale(tmp_path: Path) -> None:
    write(tmp_path / "low.wav", NOISY[:4000], 4000)
    write(tmp_path / "two.flac", np.stack([NOISY, -NOISY]), 16000)
    page = frcrn.show(tmp_path / "low.wav", str(tmp_path / "two.flac"), clean=NOISY)._repr_html_()
    heard = players(page)
    assert [(len(wave), rate) for wave, rate in heard] == [(16000, 16000)] * 3
    assert np.abs(heard[1][0]).max() == 0
    assert re.findall("<figcaption>(.*?)</figcaption>", page) == ["noisy", "enhanced", "clean"]


def test_nothing_clips_and_long_sounds_are_cut() -> None:
    page = frcrn.show(4 * NOISY, NOISY, 8000, seconds=0.5)._repr_html_()
    (loud, _), (soft, _) = players(page)
    assert len(loud) == len(soft) == 4000
    np.testing.assert_allclose(loud, 4 * soft, atol=1e-3)


def test_mp3_makes_notebooks_small() -> None:
    shown = {lossless: frcrn.show(NOISY, NOISY, lossless=lossless)._repr_html_() for lossless in (True, False)}
    assert len(players(shown[False], "mpeg")) == 2
    assert len(shown[False]) < len(shown[True]) / 2


def test_without_jupyter_it_says_what_it_is() -> None:
    assert repr(frcrn.show(NOISY, NOISY)) == (
        "<noisy 1.0 s, enhanced 1.0 s at 16000 Hz: players and spectrograms in Jupyter>"
    )


@pytest.mark.parametrize("wave", [np.zeros(0, np.float32), np.zeros((1, 2, 3), np.float32), np.full(9, np.nan), [1.0]])
def test_what_is_no_sound_is_refused(wave: object) -> None:
    with pytest.raises(AudioError):
        frcrn.show(NOISY, wave)
