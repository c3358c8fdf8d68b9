"""Checkpoints: the released form in every dress, our own, and one sentence for whatever does not fit."""

from __future__ import annotations

import json
import os
import pickle
import random
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

import frcrn
from frcrn import FRCRN, FRCRNConfig
from frcrn.cli import main
from frcrn.models import released as official
from frcrn.models.checkpoint import CheckpointError, arguments_of, describe, fill, load, names, save, save_directory
from frcrn.models.convert import convert
from frcrn.models.weight_files import read_entries
from tests.networks import noise, stock, tiny

CONFIGURATION = {"framework": "pytorch", "model": {"type": "speech_frcrn_ans_cirm_16k", **official.ARGUMENTS}}


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def one_sentence(error: BaseException, *parts: str) -> None:
    """Check that an error is one line without a traceback's or a pickle's chatter, and says these things."""
    text = str(error)
    assert "\n" not in text
    assert "weights_only" not in text
    for part in parts:
        assert part in text


# The released form, without needing the released code


@cache
def released_network() -> FRCRN:
    """Return an untrained network of the released shape; no test changes it."""
    return FRCRN().eval()


@cache
def released() -> dict[str, Tensor]:
    """Return a checkpoint of the released form, both names of every layer."""
    return official.to_official(released_network().state_dict())


def one_name_each(entries: dict[str, Tensor], first: bool) -> dict[str, Tensor]:
    """Return a checkpoint that stores every layer under one of its two names only."""
    second = official.canonical(entries)
    return {official.first_alias(name): value for name, value in second.items()} if first else second


DRESSES = {
    "bare": lambda entries: entries,
    "prefixed": lambda entries: {f"model.{name}": value for name, value in entries.items()},
    "wrapped": lambda entries: {"state_dict": entries},
    "wrapped and prefixed": lambda entries: {"state_dict": DRESSES["prefixed"](entries)},
    "wrapped twice": lambda entries: {"state_dict": {"state_dict": entries}},
    "wrapped beside other things": lambda entries: {"epoch": 3, "state_dict": entries, "optimizer": {"lr": 0.1}},
    "of several devices, as ClearerVoice stores it": lambda entries: {
        "model": {f"module.model.{name}": value for name, value in entries.items()},
        "optimizer": {"state": {}},
        "epoch": 7,
        "step": 900,
    },
    "first names only": lambda entries: one_name_each(entries, first=True),
    "second names only": lambda entries: one_name_each(entries, first=False),
}


def test_the_released_form_has_as_many_entries_as_was_released() -> None:
    assert len(released()) == 1692
    assert len({value.data_ptr() for value in released().values()}) == 868
    assert len(one_name_each(released(), first=True)) == 868


@pytest.mark.parametrize("dress", DRESSES)
def test_the_released_form_is_read_in_every_dress(dress: str, tmp_path: Path) -> None:
    torch.save(DRESSES[dress](released()), tmp_path / "pytorch_model.bin")
    entries, _ = read_entries(tmp_path / "pytorch_model.bin")
    expected = released_network().state_dict()
    ours, unexpected = official.from_official(entries, expected)
    assert official.is_official(entries)
    assert unexpected == []
    assert ours.keys() == expected.keys()
    assert all(torch.equal(ours[name], value) for name, value in expected.items())


def stock_training(weights: dict[str, Tensor]) -> dict[str, Any]:
    """Return what the stock trainer stores in one file: its counters, scores and random states are numpy's, too."""
    states = {"random": random.getstate(), "numpy": np.random.get_state(), "cpu": torch.get_rng_state(), "cuda": []}  # noqa: NPY002
    adam = {"state": {0: {"step": 3, "exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": np.float64(1e-5)}]}
    meta = {"epoch": 3, "iter": 6000, "inner_iter": 1999, "rng_state": states, "time": "Mon", "modelscope": "1.4.1"}
    plateau = {"best": np.float32(0.25), "last_epoch": np.int64(3), "mode": "min"}
    return {"meta": meta, "optimizer": adam, "lr_scheduler": plateau, "state_dict": weights}


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("core", ["_core", "core"])
def test_a_file_of_the_stock_trainer_is_read_with_its_random_states(core: str, zipped: bool, tmp_path: Path) -> None:
    """Files from before numpy 2 name its modules otherwise."""
    path = tmp_path / "epoch_3.pth"
    wrapped = DRESSES["wrapped and prefixed"](released())["state_dict"]
    torch.save(stock_training(wrapped), path, _use_new_zipfile_serialization=zipped)
    if core == "core" and not zipped:
        path.write_bytes(path.read_bytes().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"))
    assert same_weights(load(path), released_network())


def test_a_file_written_by_the_frameworks_own_function_is_read(tmp_path: Path) -> None:
    checkpoint = pytest.importorskip("modelscope.utils.checkpoint")
    network = nn.ModuleDict({"weight": nn.Linear(2, 2)})
    parts = stock_training({})
    checkpoint.save_checkpoint(
        network,
        str(tmp_path / "epoch_1.pth"),
        torch.optim.Adam(network.parameters(), lr=np.float64(1e-5)),
        meta=parts["meta"],
    )
    entries, _ = read_entries(tmp_path / "epoch_1.pth")
    assert entries.keys() == network.state_dict().keys()


def test_numbers_of_numpy_open_no_door(tmp_path: Path) -> None:
    class Door:
        """An array whose making runs a program."""

        def __reduce__(self) -> tuple[Any, ...]:
            return np.load, ("it-ran.npy", None, True)

    torch.save({"state_dict": {"a": torch.ones(1)}, "meta": Door()}, tmp_path / "door.pth")
    with pytest.raises(CheckpointError, match="could run code"):
        read_entries(tmp_path / "door.pth")


def test_a_checkpoint_file_of_the_released_form_is_a_model(tmp_path: Path) -> None:
    path = tmp_path / "any-name.pt"
    torch.save(DRESSES["wrapped and prefixed"](released()), path)
    model = load(path)
    assert same_weights(model, released_network())
    assert model.config == FRCRNConfig()
    assert not model.training


def test_a_text_file_can_name_the_weights_beside_it(tmp_path: Path) -> None:
    """As in ClearerVoice's directories."""
    torch.save(DRESSES["of several devices, as ClearerVoice stores it"](released()), tmp_path / "model.ckpt-7.pt")
    (tmp_path / "last_best_checkpoint").write_text("model.ckpt-7.pt\n")
    assert same_weights(load(tmp_path), released_network())
    (tmp_path / "last_best_checkpoint").write_text("../elsewhere.pt")
    with pytest.raises(CheckpointError, match="no weights here"):
        load(tmp_path)


@pytest.mark.parametrize("command", [False, True])
def test_a_converted_checkpoint_is_the_same_in_both_forms(
    command: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, folder = tmp_path / "some.pt", tmp_path / "model"
    torch.save(DRESSES["wrapped and prefixed"](released()), source)
    if command:
        assert main(["convert", str(source), "-o", str(folder)]) == 0
        assert capsys.readouterr().out == f"{folder}: a model directory\n{folder / 'released'}: the released form\n"
    else:
        assert convert(source, folder) == [folder, folder / "released"]
    assert same_weights(load(folder), released_network())
    assert same_weights(load(folder / "released"), released_network())
    assert json.loads((folder / "released" / "configuration.json").read_text())["model"] == CONFIGURATION["model"]
    bare, _ = read_entries(folder / "released" / "pytorch_model.bin")
    assert bare.keys() == released().keys()
    assert main(["convert", str(source), "-o", str(folder)]) == 2
    assert "a model is here already" in capsys.readouterr().err
    assert main(["convert", str(source), "-o", str(folder), "--force"]) == 0


@pytest.mark.parametrize("name", ["pytorch_model.bin", "configuration.json"])
def test_a_released_form_that_is_there_is_not_replaced(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("frcrn.models.convert.load", lambda _: pytest.fail("opened"))
    (tmp_path / "released").mkdir()
    (tmp_path / "released" / name).write_text("mine")
    with pytest.raises(CheckpointError, match=f"released/{name}: a model is here already"):
        convert(tmp_path / "released", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["released"]


def test_another_network_is_converted_to_our_form_alone(tmp_path: Path) -> None:
    save(tiny(), tmp_path / "tiny.pt")
    assert convert(tmp_path / "tiny.pt", tmp_path / "model") == [tmp_path / "model"]
    assert same_weights(load(tmp_path / "model"), load(tmp_path / "tiny.pt"))


def test_a_checkpoint_of_training_says_that_it_is_not_what_was_scored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = tiny()
    state = {"average": model.state_dict(), "progress": {}, "frcrn": arguments_of(model)}
    torch.save(state, tmp_path / "step_000000003.ckpt")
    torch.save({"state_dict": model.state_dict(), "frcrn": arguments_of(model)}, tmp_path / "plain.pt")
    load(tmp_path / "plain.pt")
    assert not caplog.records
    load(tmp_path / "step_000000003.ckpt")
    assert "step_000000003.ckpt: a checkpoint of training, not what is scored" in caplog.text


def test_the_released_form_goes_with_the_model_that_is_replaced(tmp_path: Path) -> None:
    torch.save(released(), tmp_path / "theirs.bin")
    save(tiny(), tmp_path / "tiny.pt")
    folder = tmp_path / "model"
    convert(tmp_path / "theirs.bin", folder)
    (folder / "released" / "notes.txt").write_text("mine")
    assert convert(tmp_path / "tiny.pt", folder, force=True) == [folder]
    assert [path.name for path in (folder / "released").iterdir()] == ["notes.txt"]
    assert same_weights(load(folder), load(tmp_path / "tiny.pt"))


@pytest.mark.parametrize("configuration", ["{}", "mine"])
def test_what_is_there_of_others_stays(configuration: str, tmp_path: Path) -> None:
    save(tiny(), tmp_path / "tiny.pt")
    convert(tmp_path / "tiny.pt", tmp_path / "model")
    (tmp_path / "model" / "released").mkdir()
    for name, text in (("pytorch_model.bin", "mine"), ("configuration.json", configuration)):
        (tmp_path / "model" / "released" / name).write_text(text)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(CheckpointError, match="released: what is there"):
        convert(tmp_path / "tiny.pt", tmp_path / "model", force=True)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", ["", "pytorch_model.bin", "configuration.json"])
@pytest.mark.parametrize("there", [True, False])
def test_nothing_is_converted_through_a_link(name: str, there: bool, tmp_path: Path) -> None:
    torch.save(released(), tmp_path / "theirs.bin")
    elsewhere = tmp_path / "elsewhere"
    if there:
        elsewhere.mkdir() if not name else elsewhere.write_text("the only copy")
    place = tmp_path / "model" / "released" / name
    place.parent.mkdir(parents=True)
    place.symlink_to(elsewhere)
    with pytest.raises(ValueError, match="is a link"):
        convert(tmp_path / "theirs.bin", tmp_path / "model", force=True)
    assert elsewhere.exists() == there
    assert (
        not list(elsewhere.iterdir()) if elsewhere.is_dir() else not there or elsewhere.read_text() == "the only copy"
    )


def test_weights_that_would_stand_before_ours_are_refused(tmp_path: Path) -> None:
    torch.save(released(), tmp_path / "theirs.bin")
    save(tiny(), tmp_path / "model" / "released" / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"released/model.safetensors: no earlier conversion wrote it"):
        convert(tmp_path / "theirs.bin", tmp_path / "model", force=True)


def test_a_directory_of_the_released_form_starts_a_causal_network(tmp_path: Path) -> None:
    torch.save(released(), tmp_path / "pytorch_model.bin")
    (tmp_path / "configuration.json").write_text(json.dumps(CONFIGURATION))
    model = load(tmp_path, causal=True)
    assert model.config == FRCRNConfig(causal=True)
    assert model.lookahead == 0
    ours, theirs = model.state_dict(), released_network().state_dict()
    assert all(torch.equal(ours[name], value) for name, value in theirs.items())
    assert len(ours) > len(theirs)
    for name in set(ours) - set(theirs):
        assert name.endswith(".pool.weight")
        assert_close(ours[name].sum(dim=2), torch.ones(ours[name].shape[:2]))


def test_the_stock_network_loads_what_we_write_and_gives_the_same(tmp_path: Path) -> None:
    reference, model = stock(), FRCRN()
    fill(model, reference.state_dict(), "stock")
    save(model, tmp_path / "pytorch_model.bin", official_form=True)
    back = type(reference)(**official.ARGUMENTS).eval()
    back.load_state_dict(torch.load(tmp_path / "pytorch_model.bin", weights_only=True), strict=True)
    wave = noise(1, 4800)
    with torch.inference_mode():
        found, expected = back(wave)[3:], reference(wave)[3:]
    for mine, other, cut in zip(found, expected, (0, 640, 0), strict=True):  # the spectrum, the wave, the mask
        whole = slice(cut, mine.shape[1] - cut)
        # the very same weights at another place in memory give the stock network values that differ by 2.5e-5
        assert_close(mine[:, whole], other[:, whole], atol=1e-4, rtol=0)


def test_the_stock_networks_own_entries_are_those_of_the_released_form() -> None:
    theirs = stock().state_dict()
    assert theirs.keys() == released().keys()
    assert all(theirs[name].shape == value.shape for name, value in released().items())


def test_unused_layers_are_written_as_zeros() -> None:
    unused = {name: value for name, value in official.canonical(released()).items() if official.UNUSED.match(name)}
    assert len({name.split(".")[0] + name.split(".")[1] + name.split(".")[2] for name in unused}) == 8
    assert all(value.abs().max() == 0 for value in unused.values())


# What does not fit is listed


def released_but(**changes: Tensor | None) -> dict[str, Tensor]:
    entries = dict(one_name_each(released(), first=True))
    for name, value in changes.items():
        if value is None:
            del entries[name]
        else:
            entries[name] = value
    return entries


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"unet.encoder3.conv.conv_re.weight": None}, ["1 missing: unets.0.encoders.3.conv.re.weight"]),
        (
            {"unet2.fsmn_enc4.fsmn_im_L1.project.weight": None, "unet.linear.conv_im.bias": None},
            ["2 missing", "unets.1.fsmn_enc.4.im.project.weight", "unets.0.head.im.bias"],
        ),
        ({"unet.encoder7.conv.conv_re.weight": torch.ones(1)}, ["1 unexpected: unet.encoders.7.conv.conv_re.weight"]),
        ({"extra": torch.ones(1)}, ["1 unexpected: extra"]),
        (
            {"unet.encoder0.conv.conv_re.weight": torch.ones(64, 1, 5, 2)},
            ["1 of another shape", "unets.0.encoders.0.conv.re.weight (64, 1, 5, 2) not (128, 1, 5, 2)"],
        ),
        ({"stft.weight": torch.ones(402, 1, 400)}, ["stft.weight", "(402, 1, 400)", "(642, 1, 640)"]),
        (
            {"unet.encoders.0.conv.conv_re.weight": torch.ones(128, 1, 5, 2)},
            ["unet.encoders.0.conv.conv_re.weight", "copies differ"],
        ),
        ({"unet.encoder0.bn.bn_im.running_var": None}, ["1 missing: unets.0.encoders.0.norm.running_var"]),
    ],
)
def test_what_does_not_fit_the_released_network_is_listed(changes: dict[str, Tensor | None], parts: list[str]) -> None:
    with pytest.raises(CheckpointError) as caught:
        fill(released_network(), released_but(**changes), "theirs.bin")
    one_sentence(caught.value, "theirs.bin: ", *parts)


def test_what_does_not_fit_our_own_network_is_listed() -> None:
    entries = tiny().state_dict()
    entries["surplus"] = entries.pop("unets.0.head.re.weight")
    entries["unets.0.head.re.bias"] = torch.ones(3)
    with pytest.raises(CheckpointError) as caught:
        fill(FRCRN(FRCRNConfig.tiny()), entries, "mine")
    one_sentence(
        caught.value,
        "mine: does not fit the network",
        "1 missing: unets.0.head.re.weight",
        "1 unexpected: surplus",
        "1 of another shape: unets.0.head.re.bias (3,) not (1,)",
    )


def test_a_long_list_is_cut() -> None:
    with pytest.raises(CheckpointError) as caught:
        fill(FRCRN(FRCRNConfig.tiny()), {"surplus": torch.ones(1)}, "mine")
    one_sentence(caught.value, "missing: unets.0.encoders.0.conv.re.weight", ", ...; 1 unexpected: surplus")
    assert len(str(caught.value)) < 400


def test_nothing_is_loaded_where_something_is_missing() -> None:
    model = FRCRN(FRCRNConfig.tiny())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    entries = tiny(seed=5).state_dict()
    del entries["unets.0.head.re.bias"]
    with pytest.raises(CheckpointError):
        fill(model, entries, "mine")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_missing_pooling_is_an_error_unless_the_network_is_new() -> None:
    offline = tiny(causal=False).state_dict()
    with pytest.raises(CheckpointError, match="missing: .*pool.weight"):
        fill(FRCRN(FRCRNConfig.tiny()), offline, "mine")
    fill(FRCRN(FRCRNConfig.tiny()), offline, "mine", new=True)


# Our own form


@pytest.mark.parametrize("name", ["model.safetensors", "model.bin", "model.pth"])
@pytest.mark.parametrize("causal", [False, True])
def test_what_is_saved_loads_back(name: str, causal: bool, tmp_path: Path) -> None:
    model = tiny(causal=causal)
    save(model, tmp_path / name)
    back = load(tmp_path / name)
    assert same_weights(back, model)
    assert back.config == model.config
    with torch.no_grad():
        assert torch.equal(back(noise(1, 1000)).wave, model(noise(1, 1000)).wave)


@pytest.mark.parametrize("name", ["model.safetensors", "model.bin"])
def test_half_the_size_is_close(name: str, tmp_path: Path) -> None:
    model = tiny()
    save(model, tmp_path / name, half=True)
    back = load(tmp_path / name)
    assert all(value.dtype in (torch.float32, torch.int64) for value in back.state_dict().values())
    assert not same_weights(back, model)
    with torch.no_grad():
        assert_close(back(noise(1, 1000)).wave, model(noise(1, 1000)).wave, atol=1e-3, rtol=0)
    save(model, tmp_path / "whole.safetensors")
    if name.endswith("safetensors"):
        assert (tmp_path / name).stat().st_size < (tmp_path / "whole.safetensors").stat().st_size


@pytest.mark.parametrize("trained", [False, True])
def test_a_directory_says_whether_it_was_trained(trained: bool, tmp_path: Path) -> None:
    model = tiny()
    save_directory(model, tmp_path / "deep" / "model", trained=trained, extra={"note": "mine"})
    back = load(tmp_path / "deep" / "model")
    assert same_weights(back, model)
    assert back.trained is trained
    configuration = json.loads((tmp_path / "deep" / "model" / "configuration.json").read_text())
    assert configuration["note"] == "mine"
    assert configuration["framework"] == "pytorch"
    assert configuration["model"]["type"] == configuration["pipeline"]["type"] == "frcrn-ans-16k"


def test_a_directory_without_a_configuration_is_read_by_its_weights(tmp_path: Path) -> None:
    save(tiny(), tmp_path / "model.safetensors")
    assert same_weights(load(tmp_path), tiny())


def test_a_renamed_file_is_what_it_is(tmp_path: Path) -> None:
    save(tiny(), tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    assert same_weights(load(tmp_path), tiny())


def test_bare_weights_take_the_directorys_configuration(tmp_path: Path) -> None:
    torch.save(tiny().state_dict(), tmp_path / "pytorch_model.pth")
    (tmp_path / "configuration.json").write_text(json.dumps({"model": arguments_of(tiny())}))
    assert same_weights(load(tmp_path), tiny())


def test_changes_replace_values_of_the_configuration(tmp_path: Path) -> None:
    save(tiny(causal=False), tmp_path / "model.safetensors")
    model = load(tmp_path / "model.safetensors", causal=True, level_dbfs=-20.0)
    assert (model.lookahead, model.level_dbfs) == (0, -20.0)


def test_the_default_model_is_always_there() -> None:
    model = frcrn.load()
    assert "default" in names()
    assert model.lookahead == 0
    assert same_weights(model, frcrn.load("default"))


def test_loading_leaves_the_random_numbers_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    frcrn.load()
    assert torch.equal(torch.rand(1), expected)


def test_describe_says_what_a_person_asks_first() -> None:
    facts = describe(tiny())
    assert facts["parameters"] == sum(parameter.numel() for parameter in tiny().parameters())
    assert (facts["causal"], facts["trained"], facts["latency_ms"]) == (True, False, 8.0)
    assert describe(tiny(causal=False))["causal"] is False
    json.dumps(facts)


def test_only_the_released_network_is_written_in_the_official_form(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="released network only"):
        save(tiny(), tmp_path / "pytorch_model.bin", official_form=True)
    assert not list(tmp_path.iterdir())


def test_an_optimized_copy_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="optimized"):
        save(tiny().optimize(), tmp_path / "model.safetensors")
    assert not list(tmp_path.iterdir())


# What is no checkpoint


class Code:
    """A pickle that would run a program."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("it-ran",)


def broken_files(folder: Path) -> dict[str, Path]:
    whole = folder / "whole.safetensors"
    save(tiny(), whole)
    save(tiny(), folder / "whole.bin")
    contents = {
        "truncated.safetensors": whole.read_bytes()[:-100],
        "short.safetensors": whole.read_bytes()[:5],
        "truncated.bin": (folder / "whole.bin").read_bytes()[:-100],
        "half.bin": (folder / "whole.bin").read_bytes()[:9000],
        "empty.bin": b"",
        "empty.safetensors": b"",
        "text.bin": b"these are no weights\n",
        "text.safetensors": b"these are no weights\n",
        "text.txt": b"these are no weights\n",
        "code.bin": pickle.dumps({"state_dict": Code()}),
        "old.pth": pickle.dumps({"weight": Code()}, protocol=2),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    torch.save({"state_dict": Code()}, folder / "code.pth")
    torch.save([torch.ones(1)], folder / "list.bin")
    torch.save({}, folder / "nothing.bin")
    torch.save({"state_dict": {}}, folder / "nothing.pth")
    torch.save({"weight": 1}, folder / "number.bin")
    torch.save({1: torch.ones(1)}, folder / "numbered.bin")
    torch.save({"state_dict": {"a": torch.ones(1)}, "frcrn": "mine"}, folder / "odd.bin")
    return {path.name: path for path in folder.iterdir() if not path.name.startswith("whole")}


def test_every_broken_file_gets_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files = broken_files(tmp_path)
    assert len(files) == 18
    for path in files.values():
        with pytest.raises(CheckpointError) as caught:
            load(path)
        one_sentence(caught.value, str(path))
    assert not Path("it-ran").exists()


def directory(folder: Path, configuration: str | None, weights: bool = True) -> Path:
    folder.mkdir()
    if configuration is not None:
        (folder / "configuration.json").write_text(configuration)
    if weights:
        torch.save(tiny().state_dict(), folder / "pytorch_model.bin")
    return folder


def with_changes(**changes: Any) -> str:
    return json.dumps({"model": {**arguments_of(tiny()), **changes}})


@pytest.mark.parametrize(
    ("configuration", "parts"),
    [
        (with_changes(hopp=3), ["hopp"]),
        (with_changes(hop="three"), ["hop", "three"]),
        (with_changes(hop=None), ["hop"]),
        (with_changes(levels=[]), ["level"]),
        (with_changes(levels=[{"channels": 3, "width": 1}]), ["width"]),
        (with_changes(network="other"), ["other", "frcrn"]),
        (with_changes(network=3), ["3", "frcrn"]),
        (json.dumps({"model": {**official.ARGUMENTS, "win_len": 400}}), ["win_len=400", "640"]),
        (json.dumps({"model": {**official.ARGUMENTS, "depth": 3}}), ["depth"]),
        (json.dumps({"model": {**official.ARGUMENTS, "hop": 320}}), ["hop"]),
        (json.dumps({"model": 3}), ["configuration.json", "model"]),
        (json.dumps([1]), ["configuration.json"]),
        ("{", ["configuration.json", "JSON"]),
        (json.dumps({}), []),
    ],
)
def test_a_directory_that_says_something_odd_gets_one_sentence(
    configuration: str, parts: list[str], tmp_path: Path
) -> None:
    folder = directory(tmp_path / "model", configuration)
    with pytest.raises(CheckpointError) as caught:
        load(folder)
    one_sentence(caught.value, str(folder), *parts)


def test_a_directory_without_weights_says_what_it_looked_for(tmp_path: Path) -> None:
    folder = directory(tmp_path / "model", with_changes(), weights=False)
    with pytest.raises(CheckpointError) as caught:
        load(folder)
    one_sentence(caught.value, str(folder), "no weights", "model.safetensors", "pytorch_model.bin")


def test_an_unknown_name_says_what_is_accepted() -> None:
    with pytest.raises(CheckpointError) as caught:
        load("defualt")
    one_sentence(caught.value, "defualt", "directory", "default")


@pytest.mark.parametrize("changes", [{"causl": True}, {"hop": 7}, {"hop": "7"}])
def test_an_impossible_change_gets_one_sentence(changes: dict[str, Any], tmp_path: Path) -> None:
    save(tiny(), tmp_path / "model.safetensors")
    for source in (tmp_path / "model.safetensors", "default"):
        with pytest.raises(CheckpointError) as caught:
            load(source, **changes)
        one_sentence(caught.value, str(source), next(iter(changes)))


# Half-written


@pytest.mark.parametrize("name", ["model.safetensors", "model.bin"])
def test_an_interrupted_save_leaves_the_old_file_and_nothing_beside(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    save(tiny(seed=1), path)
    old = path.read_bytes()

    def stop(*_: Any, **__: Any) -> None:
        (beside,) = (item for item in tmp_path.iterdir() if item != path)
        beside.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr("frcrn.models.checkpoint.serialized", stop)
    monkeypatch.setattr(torch, "save", stop)
    with pytest.raises(KeyboardInterrupt):
        save(tiny(seed=2), path)
    assert path.read_bytes() == old
    assert [item.name for item in tmp_path.iterdir()] == [name]


def test_saving_under_a_file_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OSError, match="file"):
        save(tiny(), tmp_path / "file" / "model.safetensors")
