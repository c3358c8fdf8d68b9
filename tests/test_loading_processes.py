"""The processes that load batches: a run never waits for one that is gone or stands still, and keeps what it learnt."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
import time
from multiprocessing import active_children
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor
from torch.utils.data import get_worker_info

from frcrn.training.loading import LoadingFailed
from tests.marks import slow
from tests.training_runs import Tones, last_state, network, recipe, same, trainer

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits and signals as Linux has them")


class Troubled(Tones):
    """Tones that a loading process cannot give in its third epoch."""

    def __init__(self, trouble: str) -> None:
        super().__init__()
        self.trouble = trouble

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Tensor]:
        if key[0] == 2 and get_worker_info() is not None:
            getattr(self, self.trouble)()
        return super().__getitem__(key)

    def stand_still(self) -> None:
        time.sleep(1000)

    def be_killed(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def have_no_room(self) -> None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))

    def fail(self) -> None:
        raise ValueError("speech/a.wav: it is gone")


def start(folder: Path, trouble: str = "", *, resume: bool = False, **plan: Any) -> Any:
    data = Troubled(trouble) if trouble else Tones()
    values = recipe(**{"max_steps": 9, "save_every": 100, "workers": 1, **plan})
    return trainer(folder, values, model=network(), train_data=data).train(resume=resume)


def check_goes_on(folder: Path, whole: Path, *steps: int) -> None:
    """The run goes on from one of these steps to where it would have come."""
    assert last_state(folder)["progress"]["step"] in steps
    start(folder, resume=True, workers=0)
    start(whole, workers=0)
    assert same(last_state(folder)["model"], last_state(whole)["model"])


@pytest.mark.parametrize("number", [signal.SIGINT, slow(signal.SIGTERM)])
def test_a_signal_ends_the_wait_for_a_process_that_stands_still(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL", 0.2)  # the patience at its end
    folder = tmp_path / "run"

    def send() -> None:
        while not (folder / "log.jsonl").exists() or len((folder / "log.jsonl").read_text().splitlines()) < 6:
            time.sleep(0.1)
        time.sleep(0.3)
        os.kill(os.getpid(), number)

    threading.Thread(target=send, daemon=True).start()
    result = start(folder, "stand_still")
    assert (result.step, result.reason) == (6, signal.Signals(number).name)
    check_goes_on(folder, tmp_path / "whole", 6)


@pytest.mark.parametrize(
    ("trouble", "workers", "said"),
    [
        (
            "have_no_room",
            1,
            "no room to hand one over: give /dev/shm more room (in Docker by --shm-size), or set f",
        ),
        slow("have_no_room", 2, "no room to hand one over"),
        ("be_killed", 1, "was killed, as by a system that runs out of memory"),
        slow("be_killed", 2, "was killed, as by a system that runs out of memory"),
    ],
)
def test_the_end_of_a_process_ends_the_run_in_one_sentence_and_saves_it(
    tmp_path: Path, trouble: str, workers: int, said: str
) -> None:
    before = signal.getsignal(signal.SIGCHLD)
    with pytest.raises(LoadingFailed) as caught:
        start(tmp_path / "run", trouble, workers=workers)
    assert said in str(caught.value) and "\n" not in str(caught.value)
    assert signal.getsignal(signal.SIGCHLD) == before
    # what it had prefetched may be gone with it
    check_goes_on(tmp_path / "run", tmp_path / "whole", *range(1, 7))


def test_an_example_that_cannot_be_read_costs_no_step_before_it(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^speech/a.wav: it is gone$"):
        start(tmp_path / "run", "fail")
    check_goes_on(tmp_path / "run", tmp_path / "whole", 6)


@pytest.mark.parametrize(
    ("number", "said"), [(errno.EMFILE, "raise the limit of open files"), (errno.ENOSPC, "give /dev/shm more room")]
)
def test_where_not_all_processes_can_be_started_none_stays(
    tmp_path: Path, number: int, said: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    start_one, begun = BaseProcess.start, []

    def start_some(process: BaseProcess) -> None:
        begun.append(process)
        if len(begun) > 2:
            raise OSError(number, os.strerror(number))
        start_one(process)

    monkeypatch.setattr(BaseProcess, "start", start_some)
    with pytest.raises(LoadingFailed, match="the 4 processes that load batches cannot be started") as caught:
        start(tmp_path / "run", workers=4)
    assert said in str(caught.value)
    assert not any(process.is_alive() for process in begun[:2]) and not active_children()
    assert "ignored" not in capfd.readouterr().err


def test_a_signal_while_they_start_ends_the_run_in_peace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start_one = BaseProcess.start

    def start_and_signal(process: BaseProcess) -> None:
        start_one(process)
        os.kill(int(process.pid or 0), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(BaseProcess, "start", start_and_signal)
    result = start(tmp_path / "run", workers=1)
    assert (result.step, result.reason) == (0, "SIGINT")
