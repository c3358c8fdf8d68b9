"""Metrics against analytic cases, the reference packages, and their own definitions written out."""

from __future__ import annotations

import math
import os
import pickle
import subprocess
import sys
from concurrent.futures import CancelledError
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from frcrn.audio import MissingPackage
from frcrn.evaluation.metrics import distortion, dnsmos, pool
from frcrn.evaluation.metrics.pool import Scorers
from frcrn.evaluation.metrics.ratios import LIMIT_DB
from frcrn.evaluation.metrics.scores import METRICS, Scores, score, si_sdr, si_snr, snr
from frcrn.threads import Promised
from frcrn.workers import Died, Helper
from frcrn.workers import program as program_of
from tests.made_audio import RATE, noise, speech

SCORING = program_of(Scorers.__module__, "serve")

CLEAN = speech(2.0, 1)
NOISY = CLEAN + noise(2.0, 2)
PLAIN = tuple(name for name in METRICS if not name.startswith("dnsmos"))
CHEAP = ("snr", "si_snr", "si_sdr", "seg_snr", "lsd", "speech_level", "speech_lost")


def orthogonal(target: np.ndarray, seed: int = 0) -> np.ndarray:
    """Noise [T] without mean and without a part along the target, as loud as it."""
    other = np.random.default_rng(seed).standard_normal(len(target))
    basis = np.stack([np.ones(len(target)), target - target.mean()])
    for row in basis:
        other -= (other @ row) / (row @ row) * row
    return other * np.linalg.norm(target) / np.linalg.norm(other)


TARGET = np.random.default_rng(5).standard_normal(4000)
TARGET -= TARGET.mean()


@given(st.floats(-40, 40), st.floats(0.01, 100), st.sampled_from([si_snr, si_sdr]))
def test_scale_invariant_ratios_are_those_of_the_mixture(ratio: float, scale: float, measure: object) -> None:
    estimate = scale * (TARGET + 10 ** (-ratio / 20) * orthogonal(TARGET))
    assert measure(estimate, TARGET) == pytest.approx(ratio, abs=1e-6)


@given(st.floats(-30, 30))
def test_snr_is_that_of_the_mixture_and_counts_a_gain_as_error(ratio: float) -> None:
    assert snr(TARGET + 10 ** (-ratio / 20) * orthogonal(TARGET), TARGET) == pytest.approx(ratio, abs=1e-6)
    assert snr(0.5 * TARGET, TARGET) == pytest.approx(20 * math.log10(2))


def test_only_si_snr_forgives_an_offset() -> None:
    estimate = TARGET + 0.1 * orthogonal(TARGET)
    assert si_snr(estimate + 3.0, TARGET) == pytest.approx(20.0, abs=1e-6)
    assert si_sdr(estimate + 3.0, TARGET) < 0


@pytest.mark.parametrize("measure", [si_snr, si_sdr, snr])
def test_equal_signals_reach_the_limit(measure: object) -> None:
    assert measure(TARGET, TARGET) == LIMIT_DB


@pytest.mark.parametrize("measure", [si_snr, si_sdr])
def test_tensors_get_the_numbers_of_arrays_row_by_row(measure: object) -> None:
    targets = np.stack([TARGET, np.roll(TARGET, 7), 100 * TARGET])
    estimates = targets + np.stack([0.01 * orthogonal(TARGET), orthogonal(TARGET, 1), 0.3 + 0 * TARGET])
    found = measure(torch.from_numpy(estimates), torch.from_numpy(targets))
    expected = [measure(estimate, target) for estimate, target in zip(estimates, targets, strict=True)]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9)
    alone = measure(torch.from_numpy(estimates[1:2]), torch.from_numpy(targets[1:2]))
    torch.testing.assert_close(found[1:2], alone)


@pytest.mark.parametrize(
    ("estimate", "target"),
    [
        (TARGET, TARGET),
        (TARGET, 0 * TARGET),
        (0 * TARGET, TARGET),
        (0 * TARGET, 0 * TARGET),
        (orthogonal(TARGET), TARGET),
    ],
    ids=["equal", "silent target", "silent estimate", "both silent", "noise"],
)
def test_the_gradient_is_finite(estimate: np.ndarray, target: np.ndarray) -> None:
    wave = torch.tensor(estimate, dtype=torch.float32, requires_grad=True)
    value = si_snr(wave[None], torch.tensor(target, dtype=torch.float32)[None])
    value.sum().backward()
    assert torch.isfinite(value).all() and torch.isfinite(wave.grad).all()


def test_following_the_gradient_raises_si_snr() -> None:
    wave = torch.tensor(NOISY[None], requires_grad=True)
    before = si_snr(wave, torch.tensor(CLEAN[None])).sum()
    before.backward()
    after = si_snr(wave + 0.1 * wave.grad / wave.grad.norm(), torch.tensor(CLEAN[None])).sum()
    assert after > before


@pytest.mark.parametrize(("gain", "expected"), [(1.0, 35.0), (0.5, 20 * math.log10(2)), (-10.0, -10.0)])
def test_segmental_snr_is_known_for_a_gain_and_held_within_its_range(gain: float, expected: float) -> None:
    wave = noise(0.5, 3)
    assert distortion.segmental_snr(wave, gain * wave, RATE) == pytest.approx(expected, abs=1e-4)


def test_log_spectral_distance_of_a_gain_is_the_gain() -> None:
    wave = np.random.default_rng(0).standard_normal(8000)
    assert distortion.log_spectral_distance(wave, 0.5 * wave, RATE) == pytest.approx(20 * math.log10(2), abs=1e-2)
    assert distortion.log_spectral_distance(wave, wave, RATE) == 0


def test_pesq_and_stoi_are_those_of_the_reference_packages() -> None:
    from pesq import pesq
    from pystoi import stoi

    found = score(CLEAN, NOISY, RATE, ("pesq", "pesq_nb", "stoi", "estoi"))
    assert found.values["pesq"] == pesq(RATE, CLEAN, NOISY, "wb")
    assert found.values["pesq_nb"] == pesq(RATE, CLEAN, NOISY, "nb")
    assert found.values["stoi"] == pytest.approx(stoi(CLEAN, NOISY, RATE), abs=1e-9)
    assert found.values["estoi"] == pytest.approx(stoi(CLEAN, NOISY, RATE, extended=True), abs=1e-6)


def levinson(frame: np.ndarray, order: int) -> tuple[np.ndarray, np.ndarray]:
    """Autocorrelation and prediction error filter of one frame, by the recursion of the published scores."""
    lags = np.array([frame[: len(frame) - k] @ frame[k:] for k in range(order + 1)])
    taps, error = np.zeros(order), lags[0]
    for i in range(order):
        reflection = (lags[i + 1] - taps[:i] @ lags[i:0:-1]) / error
        taps[:i], taps[i] = taps[:i] - reflection * taps[:i][::-1], reflection
        error *= 1 - reflection**2
    return lags, np.concatenate([[1], -taps])


def test_log_likelihood_ratio_is_its_definition_frame_by_frame() -> None:
    expected = []
    for clean, noisy in zip(*(distortion.speech_frames(wave, RATE) for wave in (CLEAN, NOISY)), strict=True):
        lags, own = levinson(clean, 16)
        other = levinson(noisy, 16)[1]
        matrix = lags[np.abs(np.subtract.outer(range(17), range(17)))]
        expected.append(math.log((other @ matrix @ other) / (own @ matrix @ own)))
    np.testing.assert_allclose(distortion.log_likelihood_ratios(CLEAN, NOISY, RATE), expected, rtol=1e-3, atol=1e-4)


def test_frames_are_as_many_as_the_published_scores_count() -> None:
    assert distortion.speech_frames(CLEAN, RATE).shape == (int(len(CLEAN) / 120 - 480 / 120), 480)


def climbed(levels: np.ndarray, slopes: np.ndarray, band: int) -> float:
    """The peak next to a band, as published: climb while it rises, or walk back while it falls."""
    place = band
    if slopes[band] > 0:
        while place < len(slopes) and slopes[place] > 0:
            place += 1
        return levels[place - 1]
    while place >= 0 and slopes[place] <= 0:
        place -= 1
    return levels[place + 1]


def test_nearest_peaks_are_those_of_the_published_loop() -> None:
    levels = np.random.default_rng(0).standard_normal((50, 25)).round(1)  # rounded, so that slopes of zero occur
    slopes = np.diff(levels, axis=1)
    expected = [[climbed(row, slope, band) for band in range(24)] for row, slope in zip(levels, slopes, strict=True)]
    np.testing.assert_array_equal(distortion._nearest_peaks(levels, slopes), expected)


def test_weighted_slopes_weigh_by_the_peaks_of_both_clips() -> None:
    levels = [distortion._band_levels(distortion.speech_frames(wave, RATE), RATE) for wave in (CLEAN, NOISY)]
    frame = 20
    weights, slopes = [], []
    for level in (levels[0][frame], levels[1][frame]):
        slope = np.diff(level)
        peaks = np.array([climbed(level, slope, band) for band in range(24)])
        weights.append(20 / (20 + level.max() - level[:-1]) / (1 + peaks - level[:-1]))
        slopes.append(slope)
    weight = (weights[0] + weights[1]) / 2
    expected = (weight * (slopes[0] - slopes[1]) ** 2).sum() / weight.sum()
    assert distortion.weighted_slopes(CLEAN, NOISY, RATE)[frame] == pytest.approx(expected)


def test_composite_scores_are_the_published_sums() -> None:
    llr = distortion.trimmed_mean(distortion.log_likelihood_ratios(CLEAN, NOISY, RATE))
    wss = distortion.trimmed_mean(distortion.weighted_slopes(CLEAN, NOISY, RATE))
    segmental = distortion.segmental_snr(CLEAN, NOISY, RATE)
    signal, background, overall = distortion.composite(CLEAN, NOISY, RATE, pesq=4.0)
    assert signal == pytest.approx(min(5, max(1, 3.093 - 1.029 * llr + 0.603 * 4 - 0.009 * wss)))
    assert background == pytest.approx(1.634 + 0.478 * 4 - 0.007 * wss + 0.063 * segmental)
    assert overall == pytest.approx(min(5, max(1, 1.594 + 0.805 * 4 - 0.512 * llr - 0.007 * wss)))
    assert distortion.composite(CLEAN, CLEAN, RATE, pesq=4.64)[::2] == (5.0, pytest.approx(5.0, abs=0.35))


def test_equal_clips_get_the_best_of_everything() -> None:
    found = score(CLEAN, CLEAN, RATE, PLAIN).values
    assert found["pesq"] == pytest.approx(4.644, abs=1e-3) and found["pesq_nb"] == pytest.approx(4.549, abs=1e-3)
    assert found["stoi"] == pytest.approx(1, abs=1e-6) and found["estoi"] == pytest.approx(1, abs=1e-6)
    assert found["si_snr"] == found["si_sdr"] == found["snr"] == LIMIT_DB
    assert found["lsd"] == found["speech_level"] == found["speech_lost"] == 0
    assert set(found) == set(PLAIN)


@pytest.mark.parametrize("gain", [0.5, 0.1, 2.0])
def test_speech_level_is_the_gain_and_speech_is_lost_beyond_12_db(gain: float) -> None:
    found = score(CLEAN, gain * CLEAN, RATE, ("speech_level", "speech_lost"))
    assert found["speech_level"] == pytest.approx(20 * math.log10(gain), abs=1e-3)
    assert found["speech_lost"] == (1.0 if gain < 10 ** (-12 / 20) else 0.0)


def test_half_a_clip_muted_is_speech_lost() -> None:
    wave = np.tile(noise(0.5, 1), 4)
    assert score(wave, wave * (np.arange(len(wave)) < len(wave) // 2), RATE, ("speech_lost",))[
        "speech_lost"
    ] == pytest.approx(0.5, abs=0.02)


REFUSED = {
    "silent clean": (0 * CLEAN, NOISY, set(PLAIN), "silent"),
    "silent enhanced": (CLEAN, 0 * CLEAN, {"pesq", "stoi", "si_snr", "si_sdr"}, "silent"),
    "other length": (CLEAN, NOISY[:-5], set(PLAIN), "samples"),
    "empty": (CLEAN[:0], NOISY[:0], set(PLAIN), "empty"),
    "not finite": (CLEAN, NOISY * np.where(np.arange(len(CLEAN)) == 7, np.nan, 1), set(PLAIN), "not finite"),
    "a tenth of a second": (CLEAN[:1600], NOISY[:1600], {"pesq", "stoi", "estoi"}, "second|0.4 s"),
    "beyond PESQ": (np.tile(CLEAN, 31), np.tile(NOISY, 31), {"pesq"}, "62 s"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_scored_is_named_and_the_rest_is_scored(case: str) -> None:
    clean, enhanced, failing, reason = REFUSED[case]
    names = PLAIN if len(clean) < 50000 else ("pesq", "snr")
    found = score(clean, enhanced, RATE, names)
    assert failing <= set(found.failures)
    assert set(found.failures) | set(found.values) == set(names) and not set(found.failures) & set(found.values)
    assert all(math.isfinite(value) for value in found.values.values())
    assert any(__import__("re").search(reason, text) for text in found.failures.values())
    assert all(math.isnan(found[name]) for name in found.failures)


@given(
    st.integers(0, 4000),
    st.sampled_from([0.0, 1e-30, 1e-6, 0.1, 1.0, 1e4]),
    st.sampled_from([0.0, 1e-30, 0.1, 1e4]),
    st.sampled_from([8000, 16000, 44100]),
)
def test_every_metric_is_either_scored_or_named(length: int, loud: float, other: float, rate: int) -> None:
    random = np.random.default_rng(length)
    clean, enhanced = loud * random.standard_normal(length), other * random.standard_normal(length)
    found = score(clean, enhanced, rate, CHEAP)
    assert set(found.values) | set(found.failures) == set(CHEAP)
    assert all(math.isfinite(value) for value in found.values.values())


def test_a_metric_that_is_not_finite_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METRICS, "snr", METRICS["snr"]._replace(measure=lambda clip: math.inf))
    assert score(CLEAN, NOISY, RATE, ("snr",)) == Scores({}, {"snr": "SNR dB came out as inf"})


def test_wide_band_pesq_refuses_another_rate_by_name() -> None:
    assert score(CLEAN, NOISY, 48000, ("pesq",)).failures["pesq"] == "PESQ is defined at 16000 Hz, found 48000"


def test_an_unknown_metric_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="unknown metric 'pesqq'; accepted are pesq, "):
        score(CLEAN, NOISY, RATE, ("pesqq",))


def test_two_channels_are_refused() -> None:
    with pytest.raises(ValueError, match=r"one channel \[T\], found shape \(2, 32000\)"):
        score(np.stack([CLEAN, CLEAN]), NOISY)


@pytest.mark.parametrize(("package", "metric"), [("pesq", "pesq"), ("pystoi", "stoi")])
def test_a_missing_package_is_said_with_the_way_to_get_it(
    package: str, metric: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingPackage, match=rf'{package}: pip install "frcrn\[eval\]"'):
        score(CLEAN, NOISY, names=(metric,))


def test_processes_score_as_this_one_does_and_outlive_a_crash() -> None:
    bursts = np.tile(np.concatenate([noise(0.25, 4), np.zeros(4000, np.float32)]), 60)
    with Scorers(("pesq", "si_sdr"), workers=1) as scorers:
        first, crash, after = (scorers.submit(*pair) for pair in ((CLEAN, NOISY), (bursts, bursts), (CLEAN, NOISY)))
        here = score(CLEAN, NOISY, RATE, ("pesq", "si_sdr"))
        for scores in (first.result(), after.result()):  # where its arrays begin may change the last bits of a sum
            assert scores.values == pytest.approx(here.values, rel=1e-12) and not scores.failures
        assert "signal" in crash.result().failures["pesq"]  # 60 utterances overrun a table of 50 in PESQ's own code
        assert crash.result().values == {"si_sdr": LIMIT_DB}
    assert all(process.poll() is not None for process in scorers._pool.processes)


KILLS_ITSELF = """
import os, sys
sys.path[0] = sys.argv[1]
from frcrn.evaluation.metrics.pool import score
from frcrn.workers import serve

def answer(question):
    with open(sys.argv[2], "a") as asked:
        asked.write("?")
    if os.path.getsize(sys.argv[2]) <= int(sys.argv[3]):
        os.kill(os.getpid(), 9)
    return score(*question[0], **question[1])

serve(answer)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no signals")
@pytest.mark.parametrize(
    ("deaths", "scored", "reason"),
    [(2, {"snr", "si_snr"}, None), (pool.ATTEMPTS, {"snr", "si_snr"}, None), (99, set(), pool.KILLED)],
)
def test_a_scoring_process_that_is_killed_is_no_fault_of_a_metric(
    deaths: int, scored: set[str], reason: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = [str(Path(distortion.__file__).parents[3]), str(tmp_path / "asked"), str(deaths)]
    monkeypatch.setattr(pool, "_start", lambda: Helper(KILLS_ITSELF, *arguments))
    with Scorers(("snr", "si_snr"), workers=1) as scorers:
        found = scorers.submit(CLEAN, NOISY).result()
    assert found.values.keys() == scored
    assert {*found.failures.values()} == ({reason} if reason else set())
    assert (tmp_path / "asked").stat().st_size <= 3 * pool.ATTEMPTS


def test_a_scoring_process_does_without_torch() -> None:
    program = "import sys; sys.modules['torch'] = None\n" + SCORING.replace("serve()", "print('ready')")
    package = Path(distortion.__file__).parent
    found = subprocess.run([sys.executable, "-c", program, str(package)], capture_output=True, text=True)
    assert found.stdout == "ready\n", found.stderr


def test_a_scoring_process_whose_parent_was_killed_ends_without_a_word() -> None:
    package = str(Path(distortion.__file__).parent)
    process = subprocess.Popen(
        [sys.executable, "-c", SCORING, package],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert pickle.load(process.stdout) == "ready"
    process.stdout.close()
    process.stdin.write(pickle.dumps(((CLEAN, NOISY, RATE, ("snr",)), {})))
    process.stdin.close()
    assert process.stderr.read() == b"" and process.wait() == 1


def is_dropped(promised: Promised[Scores]) -> bool:
    try:
        promised.result()
    except CancelledError:
        return True
    return False


def test_closing_drops_what_waits() -> None:
    with Scorers(("pesq",), workers=1) as scorers:
        waiting = [scorers.submit(CLEAN, NOISY) for _ in range(50)]
        waiting[0].result()
    assert sum(not is_dropped(promised) for promised in waiting) < 10
    assert all(process.poll() is not None for process in scorers._pool.processes)


def test_a_script_without_a_main_guard_can_score(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import numpy as np\nfrom frcrn.evaluation.metrics.pool import Scorers\nprint('begun')\n"
        "with Scorers(('snr',), workers=2) as scorers:\n"
        "    print(scorers.submit(np.ones(9), np.full(9, 2.0)).result().values)\n"
    )
    root = Path(distortion.__file__).parents[1]
    found = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, cwd=root, env={"PYTHONPATH": str(root)}
    )
    assert found.stdout == "begun\n{'snr': 0.0}\n", found.stderr


def test_scores_are_nan_where_they_failed() -> None:
    found = Scores({"snr": 1.0}, {"pesq": "why"})
    assert found["snr"] == 1.0 and math.isnan(found["pesq"])


def test_mel_filters_are_triangles_of_area_one_on_slaneys_scale() -> None:
    filters, step = dnsmos.mel_filters(), RATE / dnsmos.MEL_WINDOW
    centres = dnsmos._slaney_hertz(np.linspace(0, dnsmos._slaney_mel(8000), 122))
    assert centres[15 * 2] == pytest.approx(30 * dnsmos._slaney_mel(8000) / 121 * 200 / 3)  # linear up to 1 kHz
    assert centres[-1] == pytest.approx(8000)
    wide = filters[90:]  # those over many bins, where the sum is the integral
    np.testing.assert_allclose(wide.sum(axis=1) * step, 1, rtol=0.05)
    np.testing.assert_allclose(wide.argmax(axis=1) * step, centres[91:121], atol=step)


def test_short_clips_are_repeated_and_long_ones_cut_for_dnsmos() -> None:
    short, long = dnsmos.segments(NOISY), dnsmos.segments(np.arange(dnsmos.SEGMENT + 2 * RATE + 5, dtype=np.float64))
    assert [len(piece) for piece in short] == [dnsmos.SEGMENT]
    np.testing.assert_array_equal(short[0][: 2 * len(NOISY)], np.tile(NOISY, 2))
    assert [piece[0] for piece in long] == [0, RATE, 2 * RATE]


def test_dnsmos_without_its_models_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs the folder"):
        score(CLEAN, NOISY, names=("dnsmos_sig",))
    with pytest.raises(ValueError, match="found neither"):
        dnsmos.available(tmp_path)


def test_a_pipe_is_no_model_of_dnsmos(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "sig_bak_ovr.onnx")
    with pytest.raises(ValueError, match="expected the DNSMOS models"):
        dnsmos.available(tmp_path)


def test_a_scoring_process_that_is_killed_while_it_starts_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    start, deaths = pool.helper, [Died(-9), Died(-15)]

    def unlucky(*names: str) -> Helper:
        if deaths:
            raise deaths.pop()
        return start(*names)

    monkeypatch.setattr(pool, "helper", unlucky)
    with Scorers(("si_sdr",), workers=1) as scorers:
        assert "si_sdr" in scorers.submit(np.arange(16000) % 7, np.arange(16000) % 5).result().values


def test_scoring_processes_that_cannot_start_are_an_error_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_start(*_: object, **__: object) -> None:
        raise Died(-9)

    monkeypatch.setattr(pool, "helper", no_start)
    with Scorers(("si_sdr",), workers=1) as scorers, pytest.raises(OSError, match="did not start.*SIGKILL"):
        scorers.submit(np.ones(16000), np.ones(16000)).result()
