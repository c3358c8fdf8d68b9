"""The configuration: plain values there and back, and every impossible one refused with a sentence."""

from __future__ import annotations

import json
import re
from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frcrn import FRCRN, FRCRNConfig
from frcrn.models.layers.unet import Level

CONFIGS = {
    "official": FRCRNConfig(),
    "official causal": FRCRNConfig(causal=True),
    "compact": FRCRNConfig.compact(),
    "tiny": FRCRNConfig.tiny(),
    "tiny offline": FRCRNConfig.tiny(causal=False, stages=1, level_dbfs=-25.0),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_json_and_back_is_the_same(name: str) -> None:
    config = CONFIGS[name]
    assert FRCRNConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_the_defaults_are_the_released_network() -> None:
    config = FRCRNConfig()
    assert (config.window, config.hop, config.stages, config.causal) == (640, 320, 2, False)
    assert [level.channels for level in config.levels] == [128] * 7


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        FRCRNConfig().hop = 1  # type: ignore[misc]


@given(st.text(min_size=1))
def test_an_unknown_key_is_named(key: str) -> None:
    if key not in FRCRNConfig().to_dict():
        with pytest.raises(ValueError, match=re.escape(f"unknown key {key!r}; accepted: sample_rate, window")):
            FRCRNConfig.from_dict({"hop": 320, key: 1})


@pytest.mark.parametrize("level", [{"channels": 4, "kernal": [5, 2]}, {}, [4, [5, 2], [5, 2], 2, 0, True, True, 0, 9]])
def test_a_level_that_is_not_one_says_what_a_level_has(level: Any) -> None:
    with pytest.raises(ValueError, match="a level has channels, kernel, up_kernel"):
        FRCRNConfig(levels=(level,))


@pytest.mark.parametrize(
    "changes",
    [
        {"levels": ()},
        {"stages": 0},
        {"se_frames": 0},
        {"sample_rate": 0},
        {"window": 0},
        {"hop": 0},
        {"hop": -320},
        {"hop": 300},
        {"window": 641},
        {"memory": 0},
        {"time_memory": 0},
        {"time_layers": -1},
        {"time_hidden": -1},
        {"reduction": 0},
        {"reduction": 129},
        {"head_channels": 0},
        {"bands": -1},
        {"bands": 322},
        {"bands": 2},
        {"compress": 0.0},
        {"compress": -1.0},
        {"compress": 1.5},
        {"mask_bound": 0.0},
        {"refine": True, "stages": 1},
        {"levels": (Level(0),)},
        {"levels": (Level(4, stride=0),)},
        {"levels": (Level(4, kernel=(0, 2)),)},
        {"levels": (Level(4, up_kernel=(5, 3)),)},
        {"levels": (Level(4, padding=-1),)},
        {"levels": (Level(4), Level(4, time=-1))},
        {"levels": (Level(4, kernel=(400, 2)),)},
        {"levels": (Level(4),) * 9},
    ],
)
def test_an_impossible_network_is_refused_with_a_sentence(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^\S.* ") as caught:
        FRCRN(FRCRNConfig(**changes))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"), [("window", "640"), ("hop", 320.5), ("causal", "yes"), ("levels", 7), ("stages", None)]
)
def test_a_value_of_the_wrong_type_is_named(key: str, value: Any) -> None:
    with pytest.raises(ValueError, match=key):
        FRCRNConfig.from_dict({key: value})
