"""The pipeline `frcrn-ans-16k`: anything with sound in it in, clean 16-bit samples and files out."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterable, Mapping
from itertools import islice
from threading import Lock
from typing import Any

import numpy as np
import torch
from modelscope.msdatasets import MsDataset
from modelscope.pipelines.base import Pipeline
from modelscope.utils.constant import Frameworks

from frcrn import audio
from frcrn.audio import Samples
from frcrn.audio.arrays import beyond, say_clipped
from frcrn.inference.enhance import enhance
from frcrn.models import Enhancer
from frcrn.models.checkpoint import CheckpointError
from frcrn.plugin.devices import for_pipeline
from frcrn.plugin.hub import directory_of
from frcrn.plugin.model import FRCRNModel
from frcrn.plugin.settings import BY_FACTORY, NAMES, NETWORK, QUIET, READING, PipelineSettings
from frcrn.plugin.sources import Sound, open_clip
from frcrn.plugin.stream import KINDS, PipelineStream
from frcrn.plugin.targets import Target

Step = dict[str, Any]
"""What goes from one step to the next, and out of the last: values by name."""
INNER = ("samples", "format")
"""What `forward` hands to `postprocess` besides the result."""


class FRCRNPipeline(Pipeline):  # type: ignore[misc]
    """Takes the noise out of recordings.

    `ans(input, output_path=None, batch_size=None)` and any of the `PipelineSettings`. The input is whatever
    `sources.ACCEPTED` says; the result is `{"output_pcm": 16-bit little-endian samples, "sample_rate": ...,
    "channels": ...}`, for a list a list of them, and for a generator a generator of them, or a list where
    `output_path` is given.
    With `stream_mode`, bytes and waves are the chunks of one stream at `sample_rate`, see `PipelineStream`; `last=True`
    or `flush()` ends it.

    `preprocess`, `forward` and `postprocess` are the stock pipeline's steps and may be called or overridden one by one.
    """

    SAMPLE_RATE = 16000

    def __init__(
        self,
        model: str | os.PathLike[str] | FRCRNModel,
        device: str = "gpu",
        *,
        precision: str = "fp32",
        stream_mode: bool = False,
        sample_rate: int | None = None,
        **options: Any,
    ) -> None:
        """Load the model; options that are no `PipelineSettings` change its configuration, as `causal=True` does."""
        self.settings = PipelineSettings().changed({name: value for name, value in options.items() if name in NAMES})
        arguments = {name: value for name, value in options.items() if name not in {*NAMES, *QUIET, *BY_FACTORY}}
        device = for_pipeline(device)
        super().__init__(
            model=as_model(model, device, arguments, stream_mode=stream_mode), device=device, preprocessor=open_clip
        )
        if self.framework != Frameworks.torch:  # the base class then knows no device
            raise CheckpointError(f"{self.model.model_dir}: the configuration's framework has to be {Frameworks.torch}")
        self.network = self.model.model.to(self.device).eval().optimize(precision)
        self.SAMPLE_RATE = self.network.sample_rate
        self.stream_mode, self.process = stream_mode, os.getpid()
        if sample_rate is not None and not stream_mode:
            raise ValueError("sample_rate: is that of a stream's chunks, with stream_mode=True; files bring their own")
        self.live = PipelineStream(self.network, self.settings.strength, sample_rate) if stream_mode else None

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
        self.mind_the_process()
        parameters, many = self._sanitize_parameters(**options), is_many(input)
        if batch_size is not None and not (
            isinstance(batch_size, (int, np.integer)) and 1 <= batch_size <= sys.maxsize
        ):
            raise ValueError(f"batch_size {batch_size!r}: expected a whole number from 1")
        if self.live is not None and (isinstance(input, KINDS) or many):
            settings = self.settings.changed(options)
            settings.refuse_for_chunks(output_path)
            results = self.streamed(input, settings) if many else self.push(input, settings, last=last)
            return list(results) if isinstance(input, list) else results
        if last:
            raise ValueError("last: only a pipeline with stream_mode=True has an end to come to")
        target = Target(output_path, input, many=many)
        if not many:
            return self.clean([input], parameters, target)[0]
        results = self.cleaned(input, int(batch_size or 1), parameters, target)
        return list(results) if isinstance(input, list) or output_path is not None else results

    def _sanitize_parameters(self, **options: Any) -> tuple[Step, Step, Step]:
        """Return what one call changes, for `preprocess`, `forward` and `postprocess`; an unknown name is an error."""
        changes = self.settings.changed(options).differences(self.settings)
        before, within = ({name: changes[name] for name in names if name in changes} for names in (READING, NETWORK))
        return before, within, {}

    def cleaned(
        self, inputs: Iterable[Any], batch_size: int, parameters: tuple[Step, Step, Step], target: Target
    ) -> Generator[Step, None, None]:
        """Yield the results of many inputs, `batch_size` of them through the network at once."""
        waiting = iter(inputs)
        while batch := list(islice(waiting, batch_size)):
            yield from self.clean(batch, parameters, target)

    def clean(self, inputs: list[Any], parameters: tuple[Step, Step, Step], target: Target) -> list[Step]:
        """Return the results of some inputs that are processed together."""
        before, within, after = parameters
        prepared = [self.preprocess(one, **before) for one in inputs]
        if len(inputs) > 1 and type(self).forward is FRCRNPipeline.forward:
            cleaned = self.forward_together(prepared, **within)
        else:
            cleaned = [self.forward(one, **within) for one in prepared]
        paths = [target.path_of(source) for source in inputs]
        places = [{} if path is None else {"output_path": path} for path in paths]
        return [self.postprocess(one, **after, **place) for one, place in zip(cleaned, places, strict=True)]

    def preprocess(self, inputs: Any, **reading: Any) -> Step:
        """Read one input: `ndarray` [C, T] in the form that the result is to have, `nsamples`, `sample_rate`, `format`.

        `reading` is `repair` and `keep_format`, where they differ from the pipeline's.
        """
        settings, rate = self.settings.changed(reading), self.network.sample_rate
        clip = open_clip(inputs, rate, repair=settings.repair)
        if not settings.keep_format:
            clip = Sound(audio.resample(clip.samples.mean(axis=0, keepdims=True), clip.rate, rate), rate)
        length = clip.samples.shape[1]
        return {"ndarray": clip.samples, "nsamples": length, "sample_rate": clip.rate, "format": clip.format}

    def forward(self, inputs: Mapping[str, Any], **mix: Any) -> Step:
        """Clean what `preprocess` returned: `output_pcm`, `sample_rate`, `channels`; `samples` [C, T], `format`.

        `mix` is `strength`, `max_attenuation_db`, `residual` and `passes`, where they differ from the pipeline's.
        """
        return self.forward_together([inputs], **mix)[0]

    def forward_together(self, inputs: list[Any], **mix: Any) -> list[Step]:
        """Clean several; those that fit together go through the network side by side."""
        settings = self.settings.changed(mix)
        clips = [clip_of(one, self.network.sample_rate) for one in inputs]
        results = list(clips)
        for group in side_by_side(clips, self.network):
            together = stacked([clips[number].samples for number in group])
            clean = enhance(self.network, together, clips[group[0]].rate, **settings.mix(), passes=settings.passes)
            rows = iter(clean)
            for number in group:
                channels, length = clips[number].samples.shape
                results[number] = clips[number]._replace(samples=np.stack(list(islice(rows, channels)))[:, :length])
        if settings.residual:  # all else ends at full scale as what came in does
            say_clipped("output_pcm", sum(beyond(clip.samples) for clip in results))
        return [as_step(clip) for clip in results]

    def postprocess(
        self, inputs: Mapping[str, Any], *, output_path: str | os.PathLike[str] | None = None, **_: Any
    ) -> Step:
        """Write what `forward` returned, where a file is asked for, and return it without what only a file needs."""
        if output_path is not None:
            rate, format = inputs.get("sample_rate", self.network.sample_rate), inputs.get("format")
            audio.write(output_path, samples_of(inputs), rate, audio.format_for(output_path, format))
        return {name: value for name, value in inputs.items() if name not in INNER}

    def push(self, chunk: Any, settings: PipelineSettings, *, last: bool) -> Step:
        """Let a chunk into the stream, and return what is ready, or with `last` all that is left."""
        assert self.live is not None
        ready = self.live.push(chunk, strength=settings.strength, repair=settings.repair)
        parts = [ready.samples, self.live.flush().samples] if last else [ready.samples]
        return self.postprocess(as_step(ready._replace(samples=np.concatenate(parts, axis=1))))

    def streamed(self, chunks: Iterable[Any], settings: PipelineSettings) -> Generator[Step, None, None]:
        """Yield what is ready after each chunk, and after the last one all that is left."""
        for chunk in chunks:
            yield self.push(chunk, settings, last=False)
        yield self.flush()

    def flush(self) -> Step:
        """Return what is still inside the stream; the next chunk begins another sound."""
        if self.live is None:
            raise ValueError("flush: only a pipeline with stream_mode=True has something to flush")
        return self.postprocess(as_step(self.live.flush()))

    def mind_the_process(self) -> None:
        """Compute on one thread in a process that was forked off, where the parent's other threads do not exist."""
        if self.process != os.getpid():
            self.process = os.getpid()
            torch.set_num_threads(1)

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process needs; a stream stays where it is."""
        if self.live is not None:
            raise TypeError("a pipeline with stream_mode=True holds one stream, which cannot go to another process")
        return {name: value for name, value in self.__dict__.items() if name != "_model_prepare_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take it, in the other process."""
        self.__dict__.update(state, _model_prepare_lock=Lock())


def as_model(model: Any, device: str, arguments: dict[str, Any], *, stream_mode: bool) -> FRCRNModel:
    """Return the model, loaded where it is given as a directory or by its hub name."""
    if isinstance(model, (str, os.PathLike)):
        return FRCRNModel(directory_of(model), device=device, stream_mode=stream_mode, **arguments)
    if not isinstance(model, FRCRNModel):
        raise CheckpointError(
            f"model: expected a directory, a hub name or a model of this package, found {type(model).__name__}"
        )
    if arguments:
        raise TypeError(f"unknown option {sorted(arguments)[0]!r} for a model that is already built")
    return model


def is_many(given: Any) -> bool:
    """Tell whether an input is a list, a generator, a column or a dataset of inputs; an array of numbers is none."""
    if isinstance(given, (str, bytes, bytearray, memoryview, tuple, set, frozenset, Mapping)) or hasattr(given, "read"):
        return False
    if hasattr(given, "__array__") and (getattr(getattr(given, "dtype", None), "kind", None) != "O" or not given.shape):
        return False
    indexed = hasattr(given, "__getitem__") and hasattr(given, "__len__")
    return indexed or isinstance(given, (Iterable, MsDataset))


def clip_of(inputs: Mapping[str, Any], rate: int) -> Sound:
    """Return the clip in what `preprocess` returned, ours or another one's: `ndarray` [T] or [C, T], numpy or torch."""
    samples = np.atleast_2d(audio.as_floats(inputs["ndarray"]))
    length = inputs.get("nsamples", samples.shape[1])
    return Sound(samples[:, :length], inputs.get("sample_rate", rate), inputs.get("format"))


def as_step(clip: Sound) -> Step:
    """Return a clean clip as a result, with what a file of it needs."""
    result = {"output_pcm": pcm(clip.samples), "sample_rate": clip.rate, "channels": len(clip.samples)}
    return {**result, "samples": clip.samples, "format": clip.format}


def samples_of(result: Mapping[str, Any]) -> Samples:
    """Return the samples [C, T] of a result: what its PCM was made of, or the PCM itself where that was changed."""
    content, channels = bytes(result["output_pcm"]), result.get("channels", 1)
    samples: Samples | None = result.get("samples")
    if samples is not None and pcm(samples) == content:
        return samples
    return audio.as_floats(np.frombuffer(content, "<i2").astype(np.int16)).reshape(-1, channels).T


def side_by_side(clips: list[Sound], network: Enhancer) -> list[list[int]]:
    """Group the numbers of clips that the network may see as one batch.

    Silence that fills up the shorter ones changes nothing for a causal network which is fed recordings as they are. An
    offline one answers to every frame that it sees, a level is that of the whole clip, and resampling spreads its end.
    """
    fills = network.streams and network.level_dbfs is None
    groups: dict[tuple[int, int], list[int]] = {}
    for number, clip in enumerate(clips):
        length = 0 if fills and clip.rate == network.sample_rate else clip.samples.shape[1]
        groups.setdefault((clip.rate, length), []).append(number)
    return list(groups.values())


def stacked(waves: list[Samples]) -> Samples:
    """[C, T] each -> [all C, longest T], filled up with silence."""
    longest = max(wave.shape[1] for wave in waves)
    return np.concatenate([audio.exactly(wave, longest) for wave in waves])


def pcm(samples: Samples) -> bytes:
    """[C, T] -> 16-bit little-endian samples, the channels interleaved, clipped at full scale."""
    whole = audio.like(np.zeros(0, np.int16), samples)
    return np.ascontiguousarray(whole.T, dtype="<i2").tobytes()
