"""The pipeline `frcrn-ans-16k`: anything with sound in it in, clean 16-bit samples and files out."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, fields, replace
from itertools import islice
from typing import Any

import numpy as np
from modelscope.msdatasets import MsDataset
from modelscope.pipelines.base import Pipeline

from frcrn import audio
from frcrn.audio import Samples
from frcrn.inference.enhance import checked_mix, enhance
from frcrn.models.checkpoint import CheckpointError
from frcrn.plugin.model import FRCRNModel
from frcrn.plugin.sources import Sound, open_clip
from frcrn.plugin.stream import KINDS, PipelineStream
from frcrn.plugin.targets import Target

QUIET = {"disable_pbar", "disable_progress_bar", "disable_log", "disable_update"}
"""What callers of other pipelines pass to keep them quiet, which this one always is."""
BY_FACTORY = {"trust_remote_code"}
Result = dict[str, Any]


@dataclass(frozen=True)
class PipelineSettings:
    """What may be chosen for a pipeline, and again for each call."""

    strength: float = 1.0
    max_attenuation_db: float | None = None
    residual: bool = False
    repair: bool = False
    keep_format: bool = False
    """Give back the input's rate and channels; otherwise 16 kHz mono, as the released pipeline does."""

    def __post_init__(self) -> None:
        checked_mix(self.strength, self.max_attenuation_db, self.residual)

    def changed(self, options: dict[str, Any]) -> PipelineSettings:
        """Return the settings with the changes of one call; an unknown name is an error."""
        wanted = {name: value for name, value in options.items() if name not in QUIET}
        if unknown := sorted(set(wanted) - set(NAMES)):
            accepted = ", ".join((*NAMES, "output_path", "batch_size", "last"))
            raise TypeError(f"unknown option {unknown[0]!r}; accepted: {accepted}")
        return replace(self, **wanted)


NAMES = tuple(field.name for field in fields(PipelineSettings))


class FRCRNPipeline(Pipeline):  # type: ignore[misc]
    """Takes the noise out of recordings.

    `ans(input, output_path=None, batch_size=None)` and any of the `PipelineSettings`. The input is whatever
    `sources.ACCEPTED` says; the result is `{"output_pcm": 16-bit little-endian samples, "sample_rate": ...,
    "channels": ...}`, for a list a list of them, and for a generator a generator of them, or a list where
    `output_path` is given.
    With `stream_mode`, bytes and waves are the chunks of one stream, see `PipelineStream`; `last=True` or `flush()`
    ends it.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | FRCRNModel,
        device: str = "gpu",
        *,
        precision: str = "fp32",
        stream_mode: bool = False,
        **options: Any,
    ) -> None:
        """Load the model; options that are no `PipelineSettings` change its configuration, as `causal=True` does."""
        self.settings = PipelineSettings().changed({name: value for name, value in options.items() if name in NAMES})
        arguments = {name: value for name, value in options.items() if name not in {*NAMES, *QUIET, *BY_FACTORY}}
        super().__init__(model=as_model(model, device, arguments), device=device, preprocessor=open_clip)
        self.network = self.model.model.to(self.device).eval().optimize(precision)
        self.live = PipelineStream(self.network, self.settings.strength) if stream_mode else None

    def __call__(
        self,
        input: Any,
        *,
        output_path: str | os.PathLike[str] | None = None,
        batch_size: int | None = None,
        last: bool = False,
        **options: Any,
    ) -> Any:
        """Clean one input, or each of many."""
        settings, many = self.settings.changed(options), is_many(input)
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"batch_size {batch_size}: expected 1 or more")
        if self.live is not None and (isinstance(input, KINDS) or many):
            refuse_for_chunks(settings, output_path)
            results = self.streamed(input, settings) if many else self.push(input, settings, last=last)
            return list(results) if isinstance(input, list) else results
        if last:
            raise ValueError("last: only a pipeline with stream_mode=True has an end to come to")
        target = Target(output_path, input, many=many)
        if not many:
            return self.clean([input], settings, target)[0]
        results = self.cleaned(input, batch_size or 1, settings, target)
        return list(results) if isinstance(input, list) or output_path is not None else results

    def cleaned(
        self, inputs: Iterable[Any], batch_size: int, settings: PipelineSettings, target: Target
    ) -> Generator[Result, None, None]:
        """Yield the results of many inputs, `batch_size` of them through the network at once."""
        waiting = iter(inputs)
        while batch := list(islice(waiting, batch_size)):
            yield from self.clean(batch, settings, target)

    def clean(self, inputs: list[Any], settings: PipelineSettings, target: Target) -> list[Result]:
        """Return the results of some inputs that are processed together."""
        clips = [self.preprocess(one, settings=settings) for one in inputs]
        cleaned = self.forward({"clips": clips}, settings=settings)["clips"]
        for clip, source in zip(cleaned, inputs, strict=True):
            target.write(clip, source)
        return [self.postprocess({"clip": clip}) for clip in cleaned]

    def preprocess(self, inputs: Any, *, settings: PipelineSettings | None = None) -> Sound:
        """Read one input and bring it to the form that the result is to have."""
        settings, rate = settings or self.settings, self.network.sample_rate
        clip = open_clip(inputs, rate, repair=settings.repair)
        if settings.keep_format:
            return clip
        return Sound(audio.resample(clip.samples.mean(axis=0, keepdims=True), clip.rate, rate), rate)

    def forward(
        self, inputs: dict[str, list[Sound]], *, settings: PipelineSettings | None = None
    ) -> dict[str, list[Sound]]:
        """Clean some clips; those that fit together go through the network side by side."""
        clips, chosen = inputs["clips"], settings or self.settings
        mix = {name: getattr(chosen, name) for name in ("strength", "max_attenuation_db", "residual")}
        results = list(clips)
        for group in side_by_side(clips, causal=self.network.lookahead == 0):
            together = stacked([clips[number].samples for number in group])
            clean = enhance(self.network, together, clips[group[0]].rate, **mix)
            rows = iter(clean)
            for number in group:
                channels, length = clips[number].samples.shape
                results[number] = clips[number]._replace(samples=np.stack(list(islice(rows, channels)))[:, :length])
        return {"clips": results}

    def postprocess(self, inputs: dict[str, Sound]) -> Result:
        """Return a clean clip as 16-bit PCM."""
        clip = inputs["clip"]
        return {"output_pcm": pcm(clip.samples), "sample_rate": clip.rate, "channels": len(clip.samples)}

    def push(self, chunk: Any, settings: PipelineSettings, *, last: bool) -> Result:
        """Let a chunk into the stream, and return what is ready, or with `last` all that is left."""
        assert self.live is not None
        ready = self.live.push(chunk, strength=settings.strength, repair=settings.repair)
        parts = [ready.samples, self.live.flush().samples] if last else [ready.samples]
        return self.postprocess({"clip": ready._replace(samples=np.concatenate(parts, axis=1))})

    def streamed(self, chunks: Iterable[Any], settings: PipelineSettings) -> Generator[Result, None, None]:
        """Yield what is ready after each chunk, and after the last one all that is left."""
        for chunk in chunks:
            yield self.push(chunk, settings, last=False)
        yield self.flush()

    def flush(self) -> Result:
        """Return what is still inside the stream; the next chunk begins another sound."""
        if self.live is None:
            raise ValueError("flush: only a pipeline with stream_mode=True has something to flush")
        return self.postprocess({"clip": self.live.flush()})


def as_model(model: Any, device: str, arguments: dict[str, Any]) -> FRCRNModel:
    """Return the model, loaded where it is given as a directory."""
    if isinstance(model, (str, os.PathLike)):
        return FRCRNModel(model, device=device, **arguments)
    if not isinstance(model, FRCRNModel):
        raise CheckpointError(f"expected a model directory or a model of ours, found {type(model).__name__}")
    if arguments:
        raise TypeError(f"unknown option {sorted(arguments)[0]!r} for a model that is already built")
    return model


def refuse_for_chunks(settings: PipelineSettings, output_path: Any) -> None:
    """Refuse what only whole recordings can have."""
    asked = {
        "max_attenuation_db": settings.max_attenuation_db,
        "residual": settings.residual,
        "output_path": output_path,
    }
    for name, value in asked.items():
        if value not in (None, False):
            raise ValueError(f"{name}: a stream of chunks has none; give whole recordings for it")


def is_many(given: Any) -> bool:
    """Tell whether an input is a list, a generator or a dataset of inputs."""
    return isinstance(given, (list, Iterator, MsDataset)) and not hasattr(given, "read")


def side_by_side(clips: list[Sound], *, causal: bool) -> list[list[int]]:
    """Group the numbers of clips that the network may see as one batch.

    An offline network's answer depends on every frame that it sees, so that only clips of one length fit together; a
    causal one does not care for the silence that fills up the shorter ones.
    """
    groups: dict[tuple[int, int], list[int]] = {}
    for number, clip in enumerate(clips):
        groups.setdefault((clip.rate, 0 if causal else clip.samples.shape[1]), []).append(number)
    return list(groups.values())


def stacked(waves: list[Samples]) -> Samples:
    """[C, T] each -> [all C, longest T], filled up with silence."""
    longest = max(wave.shape[1] for wave in waves)
    return np.concatenate([audio.exactly(wave, longest) for wave in waves])


def pcm(samples: Samples) -> bytes:
    """[C, T] -> 16-bit little-endian samples, the channels interleaved, clipped at full scale."""
    whole = audio.like(np.zeros(0, np.int16), samples)
    return np.ascontiguousarray(whole.T, dtype="<i2").tobytes()
