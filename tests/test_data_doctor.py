"""The doctor finds each planted defect and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from frcrn.cli import main
from frcrn.data.check import Limits, check, clipped_share
from frcrn.data.fingerprints import fingerprint, matches, repeats
from tests.made_audio import RATE, noise, save, speech


@pytest.fixture
def healthy(tmp_path):
    for number in range(4):
        save(tmp_path / "train" / f"{number}.wav", speech(2.0, number))
        save(tmp_path / "test" / f"{number}.wav", speech(2.0, 100 + number))
    return tmp_path


def kinds(report):
    return [(finding.kind, finding.path.rsplit("/", 1)[1]) for finding in report.findings]


def test_a_healthy_corpus_has_no_findings(healthy):
    report = check([healthy / "train"], [healthy / "test"])
    assert not report.findings and report.files == 8 and report.seconds == pytest.approx(16.0)
    assert main(["data", "check", str(healthy / "train"), "--test", str(healthy / "test")]) == 0


def plant_unreadable(root):
    (root / "bad.wav").write_bytes(b"not audio at all")


def plant_truncated(root):
    whole = save(root / "bad.flac", speech(2.0, 7)).read_bytes()
    (root / "bad.flac").write_bytes(whole[: len(whole) // 2])


def plant_silent(root):
    save(root / "bad.wav", np.full(2 * RATE, 1e-4, np.float32))


def plant_clipped(root):
    save(root / "bad.wav", np.clip(speech(2.0, 7) * 8, -1, 1))


def plant_clipped_and_turned_down(root):
    save(root / "bad.wav", np.clip(speech(2.0, 7) * 8, -1, 1) * 0.3)


def plant_short(root):
    save(root / "bad.wav", speech(0.7, 7))


def plant_rate(root):
    save(root / "bad.wav", speech(2.0, 7, rate=44100), rate=44100)


def plant_duplicate(root):
    save(root / "bad.wav", speech(2.0, 102))


def plant_louder_duplicate_in_another_format(root):
    rng = np.random.default_rng(0)
    padded = np.concatenate([np.zeros(1234, np.float32), speech(2.0, 102) * 0.4, np.zeros(4321, np.float32)])
    save(root / "bad.ogg", padded + 1e-5 * rng.standard_normal(len(padded)), format="OGG", subtype="VORBIS")


def test_another_rate_is_wrong_only_where_one_is_asked_for(healthy):
    plant_rate(healthy / "train")
    assert not check([healthy / "train"]).findings
    assert kinds(check([healthy / "train"], limits=Limits(rate=16000))) == [("rate", "bad.wav")]
    assert main(["data", "check", str(healthy / "train")]) == 0
    assert main(["data", "check", str(healthy / "train"), "--rate", "16000"]) == 1


@pytest.mark.parametrize(
    ("plant", "kind"),
    [
        (plant_unreadable, "unreadable"),
        (plant_truncated, "unreadable"),
        (plant_silent, "silent"),
        (plant_clipped, "clipped"),
        (plant_clipped_and_turned_down, "clipped"),
        (plant_short, "short"),
        (plant_duplicate, "duplicate"),
        (plant_louder_duplicate_in_another_format, "duplicate"),
    ],
)
def test_each_planted_defect_is_found_and_nothing_else(healthy, capsys, plant, kind):
    plant(healthy / "train")
    report = check([healthy / "train"], [healthy / "test"])
    assert [found for found, name in kinds(report) if name.startswith("bad")] == [kind]
    assert len(report.findings) == 1
    assert main(["data", "check", str(healthy / "train"), "--test", str(healthy / "test")]) == 1
    out = capsys.readouterr().out
    assert f"{kind}: " in out and "bad." in out and f"wrong: 1 {kind}" in out


@pytest.fixture
def dns(tmp_path):
    for number, snr in enumerate((-3.0, 2.0, 7.0, 7.5)):
        clean, rest = speech(2.0, number), noise(2.0, 40 + number)
        from frcrn.data.speech_activity import active_power, power

        rest *= (active_power(clean, RATE) / power(rest) * 10 ** (-snr / 10)) ** 0.5
        save(tmp_path / "set" / "clean" / f"clean_fileid_{number}.wav", clean, subtype="FLOAT")
        save(tmp_path / "set" / "noisy" / f"noisy_fileid_{number}.wav", clean + rest, subtype="FLOAT")
    return tmp_path / "set"


def test_the_snr_histogram_counts_pairs(dns, capsys):
    report = check([dns])
    assert not report.findings
    assert report.histogram() == [("-5 to 0 dB", 1), ("0 to 5 dB", 1), ("5 to 10 dB", 2)]
    assert main(["data", "check", str(dns)]) == 0
    assert "5 to 10 dB      2 ####" in capsys.readouterr().out


def test_pure_cases_are_counted_and_not_wrong(dns):
    save(dns / "clean" / "clean_fileid_8.wav", np.zeros(2 * RATE))
    save(dns / "noisy" / "noisy_fileid_8.wav", noise(2.0, 3))
    for part in ("clean", "noisy"):
        save(dns / part / f"{part}_fileid_9.wav", speech(2.0, 9))
    report = check([dns])
    assert not report.findings
    assert ("pure noise", 1) in report.histogram() and ("pure speech", 1) in report.histogram()


def test_pairs_without_partner_or_of_other_lengths_are_found(dns):
    save(dns / "clean" / "clean_fileid_8.wav", speech(2.0, 8))
    save(dns / "noisy" / "noisy_fileid_2.wav", noise(1.5, 3))
    save(dns / "noisy" / "noisy_fileid_3.wav", np.zeros(2 * RATE))
    assert sorted(kinds(check([dns]))) == [
        ("mismatch", "noisy_fileid_2.wav"),
        ("silent", "noisy_fileid_3.wav"),
        ("unmatched", "clean_fileid_8.wav"),
    ]


@pytest.mark.filterwarnings("error")
def test_samples_of_any_size_are_measured(dns):
    for side, level in {"clean": 1e30, "noisy": 2e30}.items():
        soundfile.write(dns / side / f"{side}_fileid_2.wav", level * speech(2.0, 2), RATE, "FLOAT")
    report = check([dns])
    assert {"clean_fileid_2.wav"} <= {name for kind, name in kinds(report) if kind == "clipped"}
    assert any(abs(ratio) < 1 for ratio in report.snr_db)


def test_limits_are_the_caller_s(healthy):
    report = check([healthy / "train"], limits=Limits(rate=8000, min_seconds=3.0))
    assert report.counts() == {"rate": 4, "short": 4}


@pytest.mark.parametrize("limits", [{"rate": 0}, {"rate": -5}, {"min_seconds": float("nan")}, {"min_seconds": -1.0}])
def test_limits_that_nothing_could_keep_or_break_are_refused(healthy, limits):
    with pytest.raises(ValueError, match=f"{next(iter(limits))}: expected"):
        check([healthy / "train"], limits=Limits(**limits))


def test_a_folder_of_two_names_is_looked_at_once(dns, tmp_path, monkeypatch):
    (tmp_path / "link").symlink_to(dns)
    monkeypatch.chdir(dns.parent)
    once, all_names = check([dns]), check([dns, dns.name, dns / ".." / dns.name, tmp_path / "link"])
    assert (all_names.files, all_names.seconds, all_names.snr_db) == (once.files, once.seconds, once.snr_db)
    assert all_names.counts() == once.counts()


def test_what_is_passed_over_is_said(healthy, caplog):
    for name in ("talk.m4a", "film.mp4"):
        (healthy / "train" / name).write_bytes(b"of another kind")
    assert not check([healthy / "train"]).findings
    assert "2 files are passed over, the first " in caplog.text and "film.mp4" in caplog.text


@pytest.mark.parametrize("arguments", [["nowhere"], ["--test", "nowhere", "."]])
def test_missing_folders_are_an_error(arguments, capsys):
    assert main(["data", "check", *arguments]) == 2
    assert capsys.readouterr().err.startswith("frcrn: nowhere: expected a folder, found nothing")


def test_recordings_match_themselves_at_any_level_and_nothing_else():
    waves = [speech(2.0, seed) for seed in range(12)] + [noise(2.0, seed) for seed in range(12)]
    first = [fingerprint(wave, RATE) for wave in waves]
    rng = np.random.default_rng(0)
    other = [fingerprint(0.1 * wave + 1e-5 * rng.standard_normal(len(wave)).astype(np.float32), RATE) for wave in waves]
    assert list(matches(first, other)) == [(place, place) for place in range(24)]


@pytest.mark.parametrize("rate", [1, 2, 30, 299, 300, 301])
def test_a_header_that_says_a_few_hertz_is_no_traceback(rate, tmp_path, capsys):
    for name in ("clean/clean_fileid_0.wav", "noisy/noisy_fileid_0.wav"):
        save(tmp_path / name, noise(0.5, 1), rate)
    assert main(["data", "check", str(tmp_path), "--rate", "16000"]) == 1
    assert f"{rate} Hz, expected 16000 Hz" in capsys.readouterr().out


def test_silence_and_different_beeps_match_nothing():
    assert fingerprint(np.zeros(RATE, np.float32), RATE) is None
    beeps = [np.sin(2 * np.pi * hertz * np.arange(RATE) / RATE).astype(np.float32) for hertz in (440, 1000)]
    first, second = (fingerprint(beep, RATE) for beep in beeps)
    assert first is None or second is None or not list(matches([first], [second]))


def test_clipping_is_told_from_loudness():
    loud = speech(2.0, 1)
    loud *= 0.95 / np.abs(loud).max()
    assert clipped_share(loud) == 0 and clipped_share(np.clip(loud * 3, -0.9, 0.9)) > 0.01
    assert clipped_share(np.zeros(100, np.float32)) == 0


def test_a_copy_among_the_training_files_is_named_once_with_the_first(healthy):
    for name in ("copy.wav", "third.wav"):
        save(healthy / "train" / name, 0.3 * speech(2.0, 2))
    found = [(finding.kind, finding.path, finding.detail) for finding in check([healthy / "train"]).findings]
    first = f"the same recording as {healthy / 'train' / '2.wav'} of the training files, or the same at"
    assert [(kind, path) for kind, path, _ in found] == [
        ("duplicate", str(healthy / "train" / name)) for name in ("copy.wav", "third.wav")
    ]
    assert all(detail.startswith(first) for _, _, detail in found)


def test_a_set_may_repeat_its_speech_but_not_that_of_other_folders(dns, tmp_path, monkeypatch):
    save(dns / "clean" / "clean_fileid_8.wav", speech(2.0, 3), subtype="FLOAT")
    save(dns / "noisy" / "noisy_fileid_8.wav", speech(2.0, 3) + 1e-3 * noise(2.0, 5), subtype="FLOAT")
    save(dns / "noise" / "noise_fileid_8.wav", noise(2.0, 5), subtype="FLOAT")
    assert not check([dns]).findings
    monkeypatch.chdir(dns / "clean")
    assert not check(["."]).findings
    copy, other = save(tmp_path / "speech" / "a.wav", speech(2.0, 0)), save(tmp_path / "noise" / "b.wav", noise(2.0, 5))
    assert [(kind, path) for kind, path, _ in check([dns, copy.parent, other.parent]).findings] == [
        ("duplicate", str(copy))
    ]


def test_copies_are_found_over_all_blocks(monkeypatch):
    monkeypatch.setattr("frcrn.data.fingerprints.BLOCK", 3)
    waves = [fingerprint(noise(1.0, seed), RATE) for seed in (0, 1, 2, 3, 0, 4, 5, 1, 0)]
    assert list(repeats(waves)) == [(0, 4), (0, 8), (1, 7), (4, 8)]
