"""On-the-fly mixing: a pure function of (seed, epoch, index) that does what its configuration says."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from frcrn.data import Blend, Mixing, build, events, mixing, noises, spectrum
from frcrn.data.mixed_set import write_mix
from frcrn.data.speech import utterance
from frcrn.data.speech_activity import active_frames, active_power, decibels, frame_powers, power
from tests.made_audio import RATE, corpus, speech

PLAIN = {
    "noise_only_share": 0,
    "clean_only_share": 0,
    "room_share": 0,
    "clip_share": 0,
    "codec_share": 0,
    "lost_share": 0,
    "step_share": 0,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def mix(folder):
    def make(seed: int = 0, **changes) -> Mixing:
        table = {
            "kind": "mixing",
            "speech": [str(folder / "speech")],
            "noise": [str(folder / "noise")],
            "cache": str(folder / "audio.cache"),
            "seconds": 2.0,
            "length": 100,
            "room_count": 6,
            "room_model": "decay",
            **changes,
        }
        return build(table, sample_rate=RATE, seed=seed)

    return make


def test_an_example_depends_on_seed_epoch_and_index_only(mix):
    first, again = mix(), mix()
    for index in (5, 3, 5, 99):
        torch.testing.assert_close(first[2, index], again[2, index], rtol=0, atol=0)
    assert not torch.equal(first[2, 5]["noisy"], first[3, 5]["noisy"])
    assert not torch.equal(first[2, 5]["noisy"], first[2, 6]["noisy"])
    assert not torch.equal(first[2, 5]["noisy"], mix(seed=1)[2, 5]["noisy"])


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_change_nothing(mix, workers):
    dataset = mix()
    keys = [(1, index) for index in range(12)]
    here = list(DataLoader(dataset, batch_size=4, sampler=keys))
    there = list(DataLoader(dataset, batch_size=4, sampler=keys, num_workers=workers))
    assert len(here) == len(there) == 3
    for one, other in zip(here, there, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_a_pickled_dataset_is_small_and_the_same(mix):
    dataset = mix(room_share=0)
    stored = pickle.dumps(dataset)
    assert len(stored) < 100_000
    torch.testing.assert_close(pickle.loads(stored)[0, 1], dataset[0, 1], rtol=0, atol=0)


@settings(max_examples=25, deadline=None)
@given(epoch=st.integers(0, 10**6), index=st.integers(0, 99), snr=st.floats(-15, 40))
def test_the_snr_over_active_speech_is_as_asked(mix, epoch, index, snr):
    example = mix(**PLAIN, snr_db=[snr, snr]).example(epoch, index)
    difference = example.noisy - example.clean
    found = decibels(active_power(example.clean, RATE) / power(difference))
    assert found == pytest.approx(snr, abs=0.1)
    np.testing.assert_allclose(difference, example.noise, atol=2e-7)


def test_drawn_snrs_fill_the_range(mix):
    dataset = mix(**PLAIN, snr_db=[-5, 20])
    drawn = [dataset.example(0, index).snr_db for index in range(100)]
    assert -5 <= min(drawn) < -1 and 16 < max(drawn) <= 20


def test_pure_speech_is_left_alone_and_pure_noise_has_a_silent_target(mix):
    speech_only = mix(clean_only_share=1, noise_only_share=0, clip_share=1, codec_share=1)
    noise_only = mix(noise_only_share=1, clean_only_share=0)
    for index in range(20):
        clean = speech_only[0, index]
        assert torch.equal(clean["noisy"], clean["clean"]) and clean["clean"].abs().max() > 0
        silent = noise_only[0, index]
        assert not silent["clean"].any() and silent["noisy"].abs().max() > 0


@pytest.mark.filterwarnings("error")
def test_a_short_piece_of_an_utterance_may_begin_in_what_is_left_of_its_last_frame():
    cache = SimpleNamespace(rate=16000, lengths=[1000], levels=[-26.0], activity=lambda file: np.ones(3, bool))
    cache.wave = lambda file, start, stop: np.ones(stop - start, np.float32)
    rng = np.random.default_rng(0)
    for _ in range(200):
        assert len(utterance(SimpleNamespace(cache=cache), rng, 0, 10, inside=True)) == 10


def test_shares_are_kept(mix):
    dataset = mix(noise_only_share=0.2, clean_only_share=0.3, length=400, seconds=0.5)
    snrs = np.array([dataset.example(0, index).snr_db for index in range(400)])
    assert np.isneginf(snrs).mean() == pytest.approx(0.2, abs=0.06)
    assert np.isposinf(snrs).mean() == pytest.approx(0.3, abs=0.07)


def test_most_of_every_segment_is_speech(mix):
    dataset = mix(**PLAIN, pause_share=0)
    shares = [active_frames(frame_powers(dataset.example(0, i).clean, RATE)).mean() for i in range(60)]
    assert np.mean(shares) > 0.75 and np.quantile(shares, 0.1) > 0.5


def test_levels_lie_in_the_range_and_nothing_passes_full_scale(mix):
    dataset = mix(level_dbfs=[-50, -5], seconds=1.0)
    waves = [dataset[0, index] for index in range(100)]
    levels = [decibels(power(wave["noisy"].numpy())) for wave in waves]
    assert min(levels) >= -50.5 and max(levels) <= -4.5 and max(levels) - min(levels) > 25
    assert max(float(wave[key].abs().max()) for wave in waves for key in wave) <= 1.0
    assert all(bool(torch.isfinite(wave[key]).all()) for wave in waves for key in wave)
    assert all(wave[key].dtype == torch.float32 and wave[key].shape == (16000,) for wave in waves for key in wave)


def test_damage_is_in_the_noisy_wave_only(mix):
    whole = mix(**PLAIN)
    broken = {kind: mix(**{**PLAIN, kind: 1}) for kind in ("clip_share", "codec_share", "lost_share")}
    for index in range(10):
        good = whole.example(0, index)
        for kind, dataset in broken.items():
            bad = dataset.example(0, index)
            np.testing.assert_array_equal(bad.clean, good.clean)
            assert bad.damaged and not np.array_equal(bad.noisy, good.noisy), kind
            error = decibels(power(bad.noisy - good.noisy) / power(good.noisy))
            assert -70 < error < (0 if kind == "lost_share" else -5), (kind, index, error)


@pytest.mark.parametrize("kind", sorted({*noises.MADE, *events.KINDS}, key=lambda kind: kind.__name__))
def test_made_noises_are_of_unit_power_and_differ_with_the_generator(kind):
    waves = [kind(np.random.default_rng(seed), 2 * RATE, RATE) for seed in (0, 0, 1, 2, 3)]
    np.testing.assert_array_equal(waves[0], waves[1])
    assert not np.array_equal(waves[0], waves[2])
    for wave in waves:
        assert wave.shape == (2 * RATE,) and wave.dtype == np.float32
        assert power(wave) == pytest.approx(1, rel=1e-3)


def test_a_step_of_level_moves_speech_and_noise_alike(mix):
    still, moved = mix(**PLAIN), mix(**{**PLAIN, "step_share": 1})
    for index in range(10):
        one, other = still.example(0, index), moved.example(0, index)
        loud = np.abs(one.noisy) > 1e-3
        ratio = (other.noisy / np.where(loud, one.noisy, 1))[loud]
        assert 3.9 < -20 * np.log10(ratio.min() / ratio.max()) < 20.1
        np.testing.assert_allclose(other.clean[loud], ratio * one.clean[loud], atol=1e-5)


def test_one_noise_gives_way_to_another():
    rng = np.random.default_rng(0)
    low, high = (np.sin(np.arange(RATE) * f).astype(np.float32) * np.float32(2**0.5) for f in (0.05, 1.0))
    turned = noises.in_turn(rng, low, high, RATE)
    spectra = [np.abs(np.fft.rfft(part)) for part in (turned[:1000], turned[-1000:])]
    assert [int(spectrum.argmax()) for spectrum in spectra] == [round(0.05 * 1000 / 6.2832), round(1000 / 6.2832)]


def test_a_room_blurs_what_is_heard_and_the_target_keeps_its_early_part_or_nothing(mix):
    def heard(**changes):
        return mix(**{**PLAIN, "room_share": 1, "tilt_share": 0, "band_share": 0, "snr_db": [100, 100], **changes})

    for index in range(5):
        early, dry = heard().example(0, index), heard(room_target="dry").example(0, index)
        all_early = heard(early_ms=5000.0).example(0, index)
        assert decibels(power(all_early.noisy - all_early.clean) / power(all_early.clean)) < -60
        late = [power(e.noisy - e.clean) / power(e.noisy) for e in (early, dry)]
        assert 1e-7 < late[0] < late[1]


def test_in_room_equals_direct_convolution():
    rng = np.random.default_rng(0)
    dry, response = (
        speech(1.0, seed=1),
        rng.standard_normal(800).astype(np.float32) * np.exp(-np.arange(800) / 100).astype("f4"),
    )
    config = mixing.MixingConfig(speech=("x",), early_ms=10.0)
    heard, target = mixing.in_room(dry, response, RATE, config)
    np.testing.assert_allclose(heard, np.convolve(dry, response)[: len(dry)], atol=1e-4)
    np.testing.assert_allclose(target, np.convolve(dry, mixing.early_part(response, 160))[: len(dry)], atol=1e-4)


def test_speed_changes_pitch_and_keeps_length():
    tone = np.sin(2 * np.pi * 500 * np.arange(17600) / RATE).astype(np.float32)
    fast = mixing.at_speed(tone, 1.1, 16000)
    assert len(fast) == 16000
    assert np.abs(np.fft.rfft(fast * np.hanning(16000))).argmax() == 550


def test_the_noise_that_is_written_is_what_the_mix_adds(mix, tmp_path):
    dataset = mix(**PLAIN, seconds=0.5, length=30, snr_db=[-12, -8], level_dbfs=[-3, 0], seed=4)
    assert max(np.abs(dataset.example(0, index).noise).max() for index in range(30)) > 1
    write_mix(dataset, tmp_path / "set")
    for index in range(30):
        names = [tmp_path / "set" / part / f"{part}_fileid_{index}.wav" for part in ("noisy", "clean", "noise")]
        noisy, clean, noise = (soundfile.read(name, dtype="float32")[0] for name in names)
        np.testing.assert_allclose(noisy, clean + noise, atol=1e-4)


def test_a_mix_names_its_recordings(mix, folder):
    train, valid = (mix(split=split, valid_share=0.4).recordings() for split in ("train", "valid"))
    assert train and valid and not train & valid
    assert train | valid == {path.resolve() for path in folder.rglob("*.wav")}
    assert mix(split="train", valid_share=0.1).recordings() & valid
    assert Blend([mix(split="valid", valid_share=0.4), []], [1, 0], 0).recordings() == valid


def test_train_and_valid_share_no_speaker_and_no_noise(mix):
    sides = {split: mix(split=split, valid_share=0.4) for split in ("train", "valid", "all")}
    for shelf in ("speech", "noise"):
        files = {split: set(getattr(side, shelf).files.tolist()) for split, side in sides.items()}
        assert files["train"] and files["valid"] and not files["train"] & files["valid"]
        assert files["train"] | files["valid"] == files["all"]
    names = sides["train"].speech.cache.names
    speakers = {split: {names[f].rsplit("/", 1)[0] for f in sides[split].speech.files} for split in ("train", "valid")}
    assert not speakers["train"] & speakers["valid"]


def test_a_speaker_pattern_groups_files(tmp_path):
    corpus(tmp_path / "c")
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in (tmp_path / "c" / "speech").rglob("*.wav"):
        path.rename(flat / f"{path.parent.name}_{path.name}")
    table = {"kind": "mixing", "speech": [str(flat)], "cache": str(tmp_path / "k"), "room_share": 0, "valid_share": 0.3}
    table["speaker"] = r"(speaker\d+)_"
    sides = [build({**table, "split": split}, sample_rate=RATE, seed=0) for split in ("train", "valid")]
    found = [{side.speech.cache.names[f].split("_")[0] for f in side.speech.files} for side in sides]
    assert found[0] and found[1] and not found[0] & found[1]


def test_folders_that_are_speakers_are_on_one_side_each(tmp_path):
    for number, path in enumerate(sorted((corpus(tmp_path / "c") / "speech").rglob("*.wav"))):
        place = tmp_path / "speech" / f"speaker{number // 2}" / path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        path.rename(place)
    for number, path in enumerate(sorted((tmp_path / "c" / "noise").rglob("*.wav"))):
        (tmp_path / "noise" / f"place{number}").mkdir(parents=True)
        path.rename(tmp_path / "noise" / f"place{number}" / path.name)
    table = {"kind": "mixing", "speech": [str(tmp_path / "speech")], "noise": [str(tmp_path / "noise")]}
    table |= {"cache": str(tmp_path / "k"), "room_share": 0, "valid_share": 0.3, "speaker": "^[^/]+"}
    sides = [build({**table, "split": split}, sample_rate=RATE, seed=0) for split in ("train", "valid")]
    for shelf in ("speech", "noise"):
        train, valid = ({side.speech.cache.sources[f] for f in getattr(side, shelf).files} for side in sides)
        assert train and valid and not train & valid


def test_excluded_files_are_never_drawn(mix):
    dataset = mix(exclude=["alpha/speaker0/*", "noise/noise[0-4].wav"])
    names = dataset.speech.cache.names
    drawn = {names[file] for file in dataset.speech.files}
    assert drawn and not any(name.startswith("alpha/speaker0") for name in drawn)
    assert [names[file] for file in dataset.noise.files] == ["noise/noise5.wav"]


def test_source_weights_choose_sources(mix):
    dataset = mix(source_weights={"alpha": 0.0})
    rng = np.random.default_rng(0)
    picked = {dataset.speech.cache.sources[dataset.speech.pick(rng)] for _ in range(200)}
    assert picked == {"beta"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"snr": [0, 5]}, "unknown key 'snr'"),
        ({"snr_db": [5, 0]}, "snr_db: expected two rising numbers"),
        ({"noise_only_share": 1.5}, "noise_only_share: expected 0 to 1"),
        ({"split": "test"}, "split: expected 'train' or 'valid' or 'all'"),
        ({"speech": ["nowhere"]}, "nowhere: expected a folder of audio files, found nothing"),
        ({"speech": []}, "speech: expected at least one folder"),
        ({"speaker": "("}, "speaker: expected a regular expression"),
        ({"source_weights": {"alpha": 0, "beta": 0}}, "source_weights: expected a weight above 0"),
        ({"source_weights": {"alfa": 2}}, "source_weights.alfa: expected one of the sources alpha, beta, noise"),
        ({"kind": "mixin"}, "data.kind: expected one of mixing"),
    ],
)
def test_impossible_tables_are_refused_in_one_sentence(mix, change, words):
    with pytest.raises(ValueError, match="expected|unknown") as caught:
        mix(**change)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_an_index_outside_the_epoch_is_refused(mix):
    with pytest.raises(IndexError, match="expected 0 to 99"):
        mix()[0, 100]


def test_transform_sizes_are_fast_and_not_too_small():
    for least in (1, 7, 1000, 48000, 57601, 100_003):
        size = spectrum.good_size(least)
        assert least <= size < 1.1 * least + 2 and size % 2 == 0
        for prime in (2, 3, 5):
            while size % prime == 0:
                size //= prime
        assert size == 1


def test_a_band_passes_its_inside_and_stops_its_outside():
    rng = np.random.default_rng(0)
    white = rng.standard_normal(RATE * 2).astype(np.float32)
    out = spectrum.filtered(white, spectrum.band(300, 3400, RATE), RATE)
    gains = np.abs(np.fft.rfft(out)) ** 2, np.abs(np.fft.rfft(white)) ** 2
    hertz = np.fft.rfftfreq(len(white), 1 / RATE)

    def gain(low, high):
        inside = (hertz >= low) & (hertz < high)
        return decibels(gains[0][inside].sum() / gains[1][inside].sum())

    assert abs(gain(500, 3000)) < 0.5 and gain(0, 60) < -40 and gain(7000, 8000) < -40


@pytest.mark.shared
def test_real_speech_and_noise_mix_as_asked(tmp_path):
    root = Path(os.environ.get("FRCRN_SHARED", "../shared")) / "data" / "train"
    for kind, source in (("speech", "kathleen"), ("noise", "blanket")):
        if not (root / kind / source).is_dir():
            pytest.skip(f"{root / kind / source} is missing")
        (tmp_path / kind).mkdir()
        for path in sorted((root / kind / source).iterdir())[:20]:
            (tmp_path / kind / path.name).symlink_to(path.resolve())
    table = {"kind": "mixing", "cache": str(tmp_path / "k"), "room_count": 4, "length": 60}
    folders = {kind: [str(tmp_path / kind)] for kind in ("speech", "noise")}
    data = build(table | folders, sample_rate=RATE, seed=0)
    examples = [data.example(0, index) for index in range(60)]
    assert all(np.isfinite(example.noisy).all() and np.abs(example.noisy).max() > 1e-4 for example in examples)
    spoken = [example.clean for example in examples if not np.isneginf(example.snr_db)]
    shares = [active_frames(frame_powers(clean, RATE)).mean() for clean in spoken]
    assert np.mean(shares) > 0.7 and min(shares) > 0.2


def test_a_set_goes_on_without_what_a_killed_run_left(mix, tmp_path):
    write_mix(mix(length=2), tmp_path / "set")
    left = [tmp_path / "set" / name for name in ("noisy/.noisy_fileid_7.wav.01234567.part", ".mix.json.01234567.part")]
    for change in ({"length": 3}, {"length": 1, "seed": 3}):
        for path in left:
            path.touch()
        write_mix(mix(**change), tmp_path / "set", force=True)
        assert not [path for path in left if path.exists()]


@pytest.mark.parametrize("recorded", [False, True])
def test_a_set_that_notes_no_rooms_goes_on_where_they_are_simulated(mix, tmp_path, recorded):
    table = {"rooms": [str(tmp_path / "rooms")]} if recorded else {}
    (tmp_path / "rooms").mkdir()
    soundfile.write(tmp_path / "rooms" / "a.wav", np.eye(1, 400)[0], RATE)
    write_mix(mix(length=1, **table), tmp_path / "set")
    settings = json.loads((tmp_path / "set" / "mix.json").read_text())
    del settings["responses"]
    (tmp_path / "set" / "mix.json").write_text(json.dumps(settings))
    if recorded:
        with pytest.raises(ValueError, match="other settings or recordings"):
            write_mix(mix(length=2, **table), tmp_path / "set")
    else:
        write_mix(mix(length=2), tmp_path / "set")
        assert len(list((tmp_path / "set" / "noisy").iterdir())) == 2


def test_a_folder_without_speech_is_named_with_what_was_expected(mix, tmp_path):
    (tmp_path / "tones").mkdir()
    soundfile.write(tmp_path / "tones" / "a.wav", 0.1 * np.sin(np.arange(RATE) / 5), RATE)
    with pytest.raises(ValueError, match=r"tones: expected speech whose level varies by speech_range_db, 20 dB"):
        mix(speech=[str(tmp_path / "tones")], cache=str(tmp_path / "k"))
