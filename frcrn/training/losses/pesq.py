"""Perceived speech quality (wideband PESQ, ITU-T P.862.2) as something that can be learned, at any rate.

The published measure also aligns the two waves in time and looks again at frames that it finds misaligned; here they
are aligned already, its filters are weights of the bins, and its gains are found without recursion.
`frcrn.evaluation.metrics.scores` has the measure itself, for scores.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

WINDOW_SECONDS = 0.032
# The tables of the perceptual model of ITU-T P.862 at 16 kHz, which P.862.2 takes over: how many bins of the 512-sample
# transform each of 49 bands holds, its width on the modified Bark scale, the factor that corrects its power for the
# number of bins, and the absolute threshold of hearing.
BANDS = (
    # bins of 31.25 Hz, width in Bark, correction of the power, threshold of hearing in dB
    *((1, 0.157, 100.0, 77.1), (1, 0.318, 100.0, 63.9), (1, 0.322, 100.0, 48.5), (1, 0.327, 100.0, 36.9)),
    *((1, 0.331, 100.0, 30.7), (1, 0.336, 100.0, 25.9), (1, 0.341, 100.0, 20.2), (1, 0.345, 100.0, 16.6)),
    *((2, 0.350, 50.0, 12.5), (1, 0.355, 100.0, 9.9), (1, 0.360, 100.0, 6.9), (1, 0.365, 100.0, 4.9)),
    *((1, 0.370, 100.0, 2.8), (1, 0.375, 100.0, 1.0), (2, 0.380, 53.0, -0.1), (1, 0.385, 110.0, -1.4)),
    *((1, 0.390, 118.0, -2.5), (2, 0.395, 65.0, -3.4), (2, 0.400, 68.8, -4.1), (2, 0.406, 70.0, -4.8)),
    *((2, 0.411, 71.4, -5.3), (2, 0.416, 75.0, -5.7), (2, 0.422, 76.8, -5.9), (2, 0.427, 81.0, -6.0)),
    *((2, 0.433, 88.6, -6.0), (3, 0.439, 63.9, -6.0), (3, 0.444, 68.2, -6.0), (3, 0.450, 72.5, -5.8)),
    *((3, 0.456, 75.6, -5.4), (4, 0.462, 58.4, -5.1), (3, 0.468, 81.0, -4.7), (4, 0.474, 64.1, -4.3)),
    *((5, 0.480, 54.4, -4.0), (4, 0.486, 73.8, -3.6), (5, 0.492, 64.4, -3.3), (6, 0.498, 59.2, -3.1)),
    *((6, 0.504, 65.5, -3.0), (7, 0.511, 61.4, -3.0), (8, 0.517, 58.1, -2.9), (9, 0.524, 57.0, -2.8)),
    *((9, 0.530, 64.1, -2.8), (12, 0.537, 54.3, -2.8), (12, 0.544, 61.1, -2.9), (15, 0.550, 55.1, -3.2)),
    *((16, 0.557, 56.8, -3.7), (18, 0.564, 55.6, -4.3), (21, 0.571, 53.1, -4.4), (25, 0.578, 55.0, -3.8)),
    (20, 0.585, 79.5, -2.7),
)
POWER_SCALE, LOUDNESS_SCALE = 6.910853e-6, 0.1866055
"""S_p and S_l of P.862: power and loudness of a tone of 40 dB at 1 kHz come out at their known values."""
SPEECH_HZ = (350.0, 3250.0)
"""The band in which P.862 measures the level that both waves are brought to."""
SPEECH_POWER = 1e7
"""The power that the band of speech is brought to, in squared steps of 16 bits."""
HIGH_PASS = ((2.6657628, -5.3315255, 2.6657628), (1.0, -1.8890331, 0.89487434))
"""P.862.2's input filter, in place of P.862's telephone: numerator and denominator at 16 kHz. Its poles lie at
0.945 +- 0.053j: it takes away what is lowest, and its gain at 8 kHz is 2.666 * 4 / (1 + 1.889 + 0.895) = 2.82."""
ZWICKER = 0.23
"""Zwicker's power law: loudness grows with the 0.23rd power of intensity."""
LONGEST, APART = 20, 10
"""Frames that are summed up together, about a third of a second, and how far such groups are apart."""


class Ear(NamedTuple):
    """The constants of hearing at one rate."""

    window: int
    speech: Tensor
    """[F]: which bins are the band of speech."""
    bands: Tensor
    """[K, F]: power of the bins -> power of the bands."""
    width: Tensor
    """[K, 1], in Bark; the lowest band does not count."""
    threshold: Tensor
    """[K, 1]: the least audible power."""
    exponent: Tensor
    """[K, 1]: of loudness over power."""


@lru_cache(maxsize=4)
def ear(sample_rate: int, device: torch.device) -> Ear:
    """Return the constants at this rate; bands that it cannot hold are left out."""
    window = 2 * round(WINDOW_SECONDS * sample_rate / 2)
    hertz = torch.arange(window // 2 + 1, dtype=torch.float64) * sample_rate / window
    last = list(accumulate(bins for bins, *_ in BANDS))
    table = [band for band, end in zip(BANDS, last, strict=True) if end < len(hertz)]
    bands = torch.zeros(len(table), len(hertz), dtype=torch.float64)
    for number, (bins, _, correction, _) in enumerate(table):
        end = last[number]
        bands[number, max(end - bins, 1) : end] = correction * POWER_SCALE  # not what is constant
    turn = torch.exp(-2j * math.pi * hertz / 16000)
    # |H(z)|^2 at z = e^(j 2 pi f / 16000): over whole windows the filter is a weight of each bin, no recursion needed
    above, below = (part[0] + part[1] * turn + part[2] * turn**2 for part in HIGH_PASS)
    _, width, _, threshold = torch.tensor(table, dtype=torch.float64).T[:, :, None]
    centre = width.cumsum(0) - width / 2
    bent = torch.where(centre < 4, 6 / (centre + 2), 1.0).clamp(max=2) ** 0.15
    width = torch.cat([torch.zeros(1, 1), width[1:]])
    speech = (hertz >= SPEECH_HZ[0]) & (hertz <= SPEECH_HZ[1])
    constants = (speech, bands * (above / below).abs() ** 2, width, 10 ** (threshold / 10), ZWICKER * bent)
    return Ear(window, *(part.to(device, torch.float32) for part in constants))


def quality(estimate: Tensor, clean: Tensor, sample_rate: int) -> Tensor:
    """[B, T], [B, T] -> [B], a mean opinion score from 1 to 4.64."""
    hearing = ear(sample_rate, clean.device)
    found, target = (bark_power(wave, hearing) for wave in (estimate, clean))
    spoken = audible(target, 100 * hearing.threshold) >= 1e7
    target = target * response(found, target, spoken, hearing)
    found = found * gain(found, target, hearing)
    mine, theirs = loudness(found, hearing), loudness(target, hearing)
    # differences below a quarter of the quieter loudness are masked: a dead zone around zero
    masked = 0.25 * torch.minimum(mine, theirs)
    error = shrunk(mine - theirs, masked)
    # what was added disturbs more than what was left out: the asymmetry factor, none below 3 and 12 at most
    ratio = ((found + 50) / (target + 50)) ** 1.2
    added = torch.where(ratio < 3, 0.0, ratio.clamp(max=12))
    weight = ((audible(target, hearing.threshold) + 1e5) / 1e7) ** -0.04
    # over the bands, symmetric errors by an L2 norm, asymmetric ones by an L1, weighted with the width in Bark:
    # (sum(w d)^2 / sum(w))^(1/2) * sum(w), and sum(w |d| a)
    total = hearing.width.sum()
    both = ((error * hearing.width).square().sum(dim=1) / total + 1e-12).sqrt() * total * weight
    more = (error.abs() * added * hearing.width).sum(dim=1) * weight
    return opinion(4.5 - 0.1 * overall(both) - 0.0309 * overall(more))


def opinion(raw: Tensor) -> Tensor:
    """Return the mean opinion score that belongs to the measure's own, which is 4.5 at best."""
    # the mapping of P.862.2 for wideband: MOS-LQO = 0.999 + (4.999 - 0.999) / (1 + e^(-1.3669 raw + 3.8224))
    return 0.999 + 4 / (1 + torch.exp(3.8224 - 1.3669 * raw))


BEST = float(opinion(torch.tensor(4.5)))
"""What a wave scores against itself."""


def bark_power(wave: Tensor, hearing: Ear) -> Tensor:
    """[B, T] -> the power in each band [B, K, N], the wave brought to the level that the measure knows."""
    window = hearing.window
    taper = torch.hann_window(window, device=wave.device)
    rest = -wave.shape[1] % (window // 2)
    padded = F.pad(wave, (0, rest + max(0, window - wave.shape[1] - rest)))
    spec = torch.stft(padded, window, window // 2, window, taper, center=False, return_complex=True)
    energy = spec.real.square() + spec.imag.square()
    # the power of a wave is that of its tapered frames over the taper's, twice, as the bins are half of all
    mean = 2 * (hearing.speech @ energy).mean(dim=1) / (window * taper.square().sum())
    level = SPEECH_POWER / (mean + 1e-12)
    # as loud in a window of the measure's own 512 samples
    return hearing.bands @ energy * (level * (512 / window) ** 2)[:, None, None]


def audible(power: Tensor, threshold: Tensor) -> Tensor:
    """[B, K, N] -> [B, N]: the power of the bands above a threshold, but for the lowest."""
    return torch.where(power > threshold, power, 0.0)[:, 1:].sum(dim=1)


def response(found: Tensor, target: Tensor, spoken: Tensor, hearing: Ear) -> Tensor:
    """Return how much louder each band is in all [B, K, 1], at most 20 dB either way: what only sounds coloured."""
    audible_powers = [
        torch.where((power > 100 * hearing.threshold) & spoken[:, None], power, 0.0).mean(dim=2, keepdim=True)
        for power in (found, target)
    ]
    return ((audible_powers[0] + 1000) / (audible_powers[1] + 1000)).clamp(0.01, 100)


def gain(found: Tensor, target: Tensor, hearing: Ear) -> Tensor:
    """Return what brings each frame to the level of its target [B, 1, N], smoothed over the frames before."""
    ratio = (audible(target, hearing.threshold) + 5e3) / (audible(found, hearing.threshold) + 5e3)
    # P.862 smooths by g[n] = 0.2 g[n-1] + 0.8 r[n], so g[n] = sum over k of 0.8 * 0.2^k r[n-k]; the weights from k = 3
    # on sum to 0.2^3: four taps that sum to one, and no recursion
    weights = (0.2**3, 0.8 * 0.2**2, 0.8 * 0.2, 0.8)
    earlier = F.pad(ratio[:, None], (3, 0), mode="replicate").unfold(2, len(weights), 1).unbind(dim=3)
    return torch.stack([weight * part for weight, part in zip(weights, earlier, strict=True)]).sum(dim=0).clamp(3e-4, 5)


def loudness(power: Tensor, hearing: Ear) -> Tensor:
    """[B, K, N] -> how loud it is, in sone a Bark."""
    # Zwicker: S_l (P_0 / 0.5)^g * ((0.5 + 0.5 P / P_0)^g - 1), with g = 0.23 but larger below 4 Bark
    above = (power / hearing.threshold).clamp(min=1)
    quiet = LOUDNESS_SCALE * (hearing.threshold / 0.5) ** hearing.exponent
    return quiet * ((0.5 + 0.5 * above) ** hearing.exponent - 1)


def shrunk(values: Tensor, by: Tensor) -> Tensor:
    """Move values towards zero, not past it."""
    return values - torch.maximum(torch.minimum(values, by), -by)


def overall(frames: Tensor) -> Tensor:
    """[B, N] -> [B]: the worst of each third of a second counts most, then all of these alike."""
    groups = frames.clamp(max=45).unfold(1, min(LONGEST, frames.shape[1]), APART)
    # an L6 norm within each group, so that the loudest error decides, and an L2 norm over the groups: (mean d^6)^(1/6)
    # squared is (mean d^6)^(1/3)
    worst = (groups.square().square() * groups.square()).mean(dim=2) + 1e-12
    return (worst ** (1 / 3)).mean(dim=1).sqrt()
