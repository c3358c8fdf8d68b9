"""Distances between two clips that need only numpy: segmental SNR, spectral distances, the composite opinion scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from frcrn.audio.spectrogram import frames

Wave = NDArray[np.floating]
Array = NDArray[np.float64]

FRAME_SECONDS = 0.03
SEGMENT_RANGE_DB = (-10.0, 35.0)
KEPT_FRAMES = 0.95
"""The composite scores leave out the worst frames of LLR and WSS."""

SPEECH_BAND_HZ = (300.0, 3400.0)
ACTIVE_DB = 30.0
"""A frame holds speech where its speech band lies within this of the loudest frame."""
LOST_DB = 12.0
"""A speech frame counts as lost where the enhanced clip lies this far under the clean one."""

# Klatt's critical bands: centre and width in Hz (Hu and Loizou 2008).
BAND_CENTRES = np.array(
    [50, 120, 190, 260, 330, 400, 470, 540, 617.372, 703.378, 798.717, 904.128, 1020.38, 1148.30, 1288.72, 1442.54]
    + [1610.70, 1794.16, 1993.93, 2211.08, 2446.71, 2701.97, 2978.04, 3276.17, 3597.63]
)
BAND_WIDTHS = np.array(
    [70, 70, 70, 70, 70, 70, 70, 77.3724, 86.0056, 95.3398, 105.411, 116.256, 127.914, 140.423, 153.823, 168.154]
    + [183.457, 199.776, 217.153, 235.631, 255.255, 276.072, 298.126, 321.465, 346.136]
)


def speech_frames(wave: Wave, rate: int) -> Array:
    """[T] -> the 30 ms frames, a quarter of a frame apart, that the composite scores are defined on."""
    length = round(FRAME_SECONDS * rate)
    rows = frames(wave, length, length // 4)
    # the published definition counts one frame less than fit
    return rows[:-1] if len(rows) > 1 else rows


def segmental_snr(clean: Wave, enhanced: Wave, rate: int) -> float:
    """[T], [T] -> mean SNR in dB over 30 ms frames, each held within -10 to 35 dB."""
    reference = speech_frames(clean, rate)
    noise = np.square(reference - speech_frames(enhanced, rate)).sum(axis=1)
    tiny = np.finfo(np.float64).eps
    values = 10 * np.log10(np.square(reference).sum(axis=1) / (noise + tiny) + tiny)
    return float(values.clip(*SEGMENT_RANGE_DB).mean())


def log_spectral_distance(clean: Wave, enhanced: Wave, rate: int) -> float:
    """[T], [T] -> RMS difference in dB of 32 ms log spectra, both floored 60 dB under the clean clip's loudest bin."""
    length = round(0.032 * rate)
    spectra = [np.square(np.abs(np.fft.rfft(frames(wave, length, length // 2)))) for wave in (clean, enhanced)]
    floor = max(spectra[0].max() * 1e-6, np.finfo(np.float64).tiny)
    difference = 10 * np.log10(np.maximum(spectra[0], floor) / np.maximum(spectra[1], floor))
    return float(np.sqrt(np.square(difference).mean(axis=1)).mean())


def log_likelihood_ratios(clean: Wave, enhanced: Wave, rate: int) -> Array:
    """[T], [T] -> LLR of the linear predictors, one a frame [N]; frames without sound in either clip are left out."""
    order = 16 if rate >= 10000 else 10
    lags = [_autocorrelation(speech_frames(wave, rate), order) for wave in (clean, enhanced)]
    voiced = (lags[0][:, 0] > 0) & (lags[1][:, 0] > 0)
    reference, other = lags[0][voiced], lags[1][voiced]
    return np.asarray(np.log(_residual(_predictor(other), reference) / _residual(_predictor(reference), reference)))


def _autocorrelation(rows: Array, order: int) -> Array:
    return np.stack([(rows[:, : rows.shape[1] - lag] * rows[:, lag:]).sum(axis=1) for lag in range(order + 1)], axis=1)


def _toeplitz(lags: Array) -> Array:
    places = np.arange(lags.shape[1])
    return lags[:, np.abs(places[:, None] - places)]


def _predictor(lags: Array) -> Array:
    """Autocorrelations [N, P + 1] -> prediction error filters [N, P + 1] by the normal equations."""
    matrix = _toeplitz(lags[:, :-1])
    # a touch of white noise keeps a pure tone's matrix invertible, far under what 16-bit audio carries
    matrix = matrix + 1e-12 * lags[:, :1, None] * np.eye(matrix.shape[1])
    taps = np.linalg.solve(matrix, lags[:, 1:, None])[..., 0]
    return np.concatenate([np.ones((len(lags), 1)), -taps], axis=1)


def _residual(filters: Array, lags: Array) -> Array:
    """The energy that [N, P + 1] filters leave of signals with these autocorrelations."""
    tiny = np.finfo(np.float64).tiny
    return np.asarray(np.maximum(np.einsum("np,npq,nq->n", filters, _toeplitz(lags), filters), tiny))


def weighted_slopes(clean: Wave, enhanced: Wave, rate: int) -> Array:
    """[T], [T] -> Klatt's weighted spectral slope distance, one a frame [N]."""
    levels = [_band_levels(speech_frames(wave, rate), rate) for wave in (clean, enhanced)]
    slopes = [np.diff(level, axis=1) for level in levels]
    weights = sum(_slope_weights(level, slope) for level, slope in zip(levels, slopes, strict=True))
    return np.asarray((weights * np.square(slopes[0] - slopes[1])).sum(axis=1) / np.sum(weights, axis=1))


def _band_levels(rows: Array, rate: int) -> Array:
    """Frames [N, L] -> level in dB of each critical band [N, 25]."""
    size = 2 ** int(np.ceil(np.log2(2 * rows.shape[1])))
    power = np.square(np.abs(np.fft.rfft(rows, size)))[:, : size // 2]
    return 10 * np.log10(np.maximum(power @ _critical_bands(size, rate).T, 1e-10))


def _critical_bands(size: int, rate: int) -> Array:
    """[25, size / 2]: Gaussian filters of equal area, cut off 30 dB down."""
    centres = np.floor(BAND_CENTRES * size / rate)[:, None]
    widths = (BAND_WIDTHS * size / rate)[:, None]
    shape = np.exp(-11 * ((np.arange(size // 2) - centres) / widths) ** 2) * (BAND_WIDTHS[0] / BAND_WIDTHS)[:, None]
    return np.where(shape > np.exp(-30 / (2 * 2.303)), shape, 0.0)


def _slope_weights(levels: Array, slopes: Array) -> Array:
    """Levels [N, K], slopes [N, K - 1] -> weights [N, K - 1]: heavy near the loudest and the nearest spectral peak."""
    here = levels[:, :-1]
    highest = 20 / (20 + levels.max(axis=1, keepdims=True) - here)
    return np.asarray(highest / (1 + _nearest_peaks(levels, slopes) - here))


def _nearest_peaks(levels: Array, slopes: Array) -> Array:
    """The level reached by climbing from each band: rightwards where it rises, leftwards where it falls."""
    rising, count = slopes > 0, slopes.shape[1]
    right, left = np.empty_like(slopes), np.empty_like(slopes)
    # the published definition reads the band before the top when it climbs rightwards; kept, so that scores compare
    summit = levels[:, count - 1]
    for band in reversed(range(count)):
        if band < count - 1:
            summit = np.where(rising[:, band + 1], summit, levels[:, band])
        right[:, band] = summit
    summit = levels[:, 0]
    for band in range(count):
        if band:
            summit = np.where(rising[:, band - 1], levels[:, band], summit)
        left[:, band] = summit
    return np.where(rising, right, left)


def trimmed_mean(values: Array) -> float:
    """Mean of the smallest 95 %; 0 where there are none."""
    kept = np.sort(values)[: round(len(values) * KEPT_FRAMES)]
    return float(kept.mean()) if kept.size else 0.0


def composite(clean: Wave, enhanced: Wave, rate: int, pesq: float) -> tuple[float, float, float]:
    """Return CSIG, CBAK, COVL (Hu and Loizou 2008), each within 1 to 5, from wide-band PESQ as is common today."""
    llr = trimmed_mean(log_likelihood_ratios(clean, enhanced, rate))
    wss = trimmed_mean(weighted_slopes(clean, enhanced, rate))
    background = segmental_snr(clean, enhanced, rate)
    opinions = (
        3.093 - 1.029 * llr + 0.603 * pesq - 0.009 * wss,
        1.634 + 0.478 * pesq - 0.007 * wss + 0.063 * background,
        1.594 + 0.805 * pesq - 0.512 * llr - 0.007 * wss,
    )
    signal, noise, overall = (min(max(opinion, 1.0), 5.0) for opinion in opinions)
    return signal, noise, overall


def speech_kept(clean: Wave, enhanced: Wave, rate: int) -> tuple[float, float] | None:
    """[T], [T] -> level of the enhanced speech band against the clean one (dB), share of speech frames lost (0 to 1).

    Both over the frames where the clean clip holds speech; None where it holds none.
    """
    before, after = _speech_band(clean, rate), _speech_band(enhanced, rate)
    active = before > before.max() * 10 ** (-ACTIVE_DB / 10)
    if not active.any():
        return None
    ratio = np.maximum(after[active].sum(), before[active].sum() * 1e-10) / before[active].sum()
    lost = after[active] < before[active] * 10 ** (-LOST_DB / 10)
    return float(10 * np.log10(ratio)), float(lost.mean())


def _speech_band(wave: Wave, rate: int) -> Array:
    """[T] -> energy of the speech band in each 32 ms frame [N]."""
    length = round(0.032 * rate)
    frequencies = np.fft.rfftfreq(length, 1 / rate)
    band = (frequencies >= SPEECH_BAND_HZ[0]) & (frequencies <= SPEECH_BAND_HZ[1])
    return np.asarray(np.square(np.abs(np.fft.rfft(frames(wave, length, length // 2))[:, band])).sum(axis=1))
