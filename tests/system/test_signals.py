"""The first SIGINT or SIGTERM lets the work finish its step; a second one ends the process."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from resnetctl.system.signals import Stop, StopNow, stop_later


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_remembered_and_the_work_goes_on(signum: signal.Signals) -> None:
    before = signal.getsignal(signum)
    with Stop() as stop:
        assert stop.signum == 0
        os.kill(os.getpid(), signum)
        assert stop.signum == signum
    assert signal.getsignal(signum) is before


def test_a_signal_raises_stop_now_inside_immediately() -> None:
    with Stop() as stop:
        with pytest.raises(StopNow), stop.immediately():
            signal.raise_signal(signal.SIGTERM)
        assert stop.signum == signal.SIGTERM


def test_immediately_raises_stop_now_after_an_earlier_signal() -> None:
    with Stop() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(StopNow), stop.immediately():
            raise AssertionError("the section began")


def test_a_second_signal_stops_the_process() -> None:
    code = (
        "import os, signal\nfrom resnetctl.system.signals import Stop\n"
        "with Stop():\n os.kill(os.getpid(), 15)\n print('first', flush=True)\n"
        " os.kill(os.getpid(), 15)\n print('second')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "first\n"
    assert done.returncode == -signal.SIGTERM


def test_stop_does_nothing_outside_the_main_thread() -> None:
    signums: list[int] = []

    def work() -> None:
        with Stop() as stop:
            signums.append(stop.signum)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert signums == [0]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_stop_later_delays_the_signal_until_the_block_ends(signum: signal.Signals) -> None:
    received, done = [], []
    before = signal.signal(signum, lambda number, frame: received.append(number))
    try:
        with stop_later():
            signal.raise_signal(signum)
            done.append(list(received))
    finally:
        signal.signal(signum, before)
    assert (done, received) == ([[]], [signum])


def test_an_ignored_signal_stays_ignored() -> None:
    """`nohup` and `command &` in a script ignore SIGINT."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Stop() as stop:
            signal.raise_signal(signal.SIGINT)
            assert stop.signum == 0
    finally:
        signal.signal(signal.SIGINT, before)
