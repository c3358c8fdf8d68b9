"""Run a LADSPA plugin, as a host does: its ports, its controls, and sound in blocks."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from frcrn.audio.reading import Samples

_DATA, _HANDLE, _NUMBER = ctypes.POINTER(ctypes.c_float), ctypes.c_void_p, ctypes.c_ulong
_INPUT, _CONTROL = 1, 4


class Descriptor(ctypes.Structure):
    """What a plugin says of itself, version 1.1 of the interface."""

    _fields_ = [
        ("unique", _NUMBER),
        ("label", ctypes.c_char_p),
        ("properties", ctypes.c_int),
        ("name", ctypes.c_char_p),
        ("maker", ctypes.c_char_p),
        ("copyright", ctypes.c_char_p),
        ("count", _NUMBER),
        ("kinds", ctypes.POINTER(ctypes.c_int)),
        ("names", ctypes.POINTER(ctypes.c_char_p)),
        ("hints", ctypes.c_void_p),
        ("data", ctypes.c_void_p),
        ("instantiate", ctypes.CFUNCTYPE(_HANDLE, ctypes.c_void_p, _NUMBER)),
        ("connect_port", ctypes.CFUNCTYPE(None, _HANDLE, _NUMBER, ctypes.c_void_p)),
        ("activate", ctypes.CFUNCTYPE(None, _HANDLE)),
        ("run", ctypes.CFUNCTYPE(None, _HANDLE, _NUMBER)),
        ("run_adding", ctypes.c_void_p),
        ("set_run_adding_gain", ctypes.c_void_p),
        ("deactivate", ctypes.c_void_p),
        ("cleanup", ctypes.CFUNCTYPE(None, _HANDLE)),
    ]


class Plugin:
    """An instance of the first plugin in a file; use as a context manager, which frees it."""

    def __init__(self, path: str | os.PathLike[str], rate: int) -> None:
        find: Callable[[int], Any] = ctypes.CDLL(os.fspath(path)).ladspa_descriptor
        find.restype = ctypes.POINTER(Descriptor)  # type: ignore[attr-defined]
        self._descriptor = find(0)
        about = self._descriptor.contents
        self._run, self._connect = about.run, about.connect_port
        self._instance = about.instantiate(ctypes.cast(self._descriptor, ctypes.c_void_p), rate)
        if not self._instance:
            raise ValueError(f"{os.fspath(path)}: makes no instance at {rate} Hz")
        kinds = [about.kinds[port] for port in range(about.count)]
        self.names = [about.names[port].decode() for port in range(about.count)]
        audio = [port for port, kind in enumerate(kinds) if not kind & _CONTROL]
        self._in = [port for port in audio if kinds[port] & _INPUT]
        self._out = [port for port in audio if not kinds[port] & _INPUT]
        self.controls = {
            name: ctypes.c_float(0) for name, kind in zip(self.names, kinds, strict=True) if kind & _CONTROL
        }
        for name, value in self.controls.items():
            self._connect(self._instance, self.names.index(name), ctypes.addressof(value))
        self.controls["Strength"].value, self.controls["Attenuate by at most (dB)"].value = 1.0, 100.0
        self.activate()

    def __enter__(self) -> Plugin:
        return self

    def __exit__(self, *error: object) -> None:
        self._descriptor.contents.cleanup(self._instance)

    @property
    def latency(self) -> int:
        """Samples by which the output is late, as the plugin told at its last run."""
        return round(self.controls["latency"].value)

    def activate(self) -> None:
        """Begin another sound."""
        self._descriptor.contents.activate(self._instance)

    def run(self, wave: Samples, size: int) -> Samples:
        """[C, n] -> [C, n], in blocks of this size, each in place."""
        out = np.array(wave, np.float32, order="C")
        for start in range(0, out.shape[1], size):
            for ports in (self._in, self._out):
                for port, channel in zip(ports, out, strict=True):
                    self._connect(self._instance, port, channel.ctypes.data + 4 * start)
            self._run(self._instance, min(size, out.shape[1] - start))
        return out
