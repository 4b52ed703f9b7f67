"""A signal reaches everything that is entered, whenever it comes."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from echolm.training.signals import WATCHED, StopRequest, request_stop


@pytest.mark.parametrize("number", WATCHED)
def test_a_signal_is_for_the_run_and_for_who_trains_run_after_run(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with StopRequest() as outer:
        with StopRequest() as inner:
            os.kill(os.getpid(), number)
            assert (inner.received, outer.received) == (number.name, number.name)
        assert outer.received == number.name, "nor is it forgotten when the run has ended"
    assert signal.getsignal(number) is before


def test_one_that_comes_between_two_runs_stops_the_next() -> None:
    with StopRequest() as outer:
        with StopRequest() as first:
            assert not first.received
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGUSR2)
        with StopRequest() as second:
            assert (second.received, outer.received) == ("SIGTERM", "SIGTERM"), "the first counts"
    with StopRequest() as later:
        assert not later.received


def test_a_second_ctrl_c_ends_the_process() -> None:
    with pytest.raises(KeyboardInterrupt), StopRequest() as outer, StopRequest():
        os.kill(os.getpid(), signal.SIGINT)
        assert outer.received == "SIGINT"
        os.kill(os.getpid(), signal.SIGINT)


def test_asked_from_another_thread() -> None:
    with StopRequest() as signals:
        thread = threading.Thread(target=request_stop, args=("SIGTERM",))
        thread.start()
        thread.join()
        assert signals.received == "SIGTERM"
