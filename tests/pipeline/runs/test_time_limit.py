"""A function in a process of its own: what it returns, raises, or does not live to say."""

import os
import time

from pipeline.runs.time_limit import FAILED, within


def work(what: str) -> dict[str, int | str]:
    """Return, raise, sleep or die."""
    if what == "raise":
        raise ValueError("two\n lines")
    if what == "sleep":
        time.sleep(600.0)
    if what == "die":
        os._exit(7)
    return {"process": os.getpid()}


def test_the_result_comes_from_another_process() -> None:
    assert within(60.0, work, "return")["process"] != os.getpid()


def test_an_error_is_one_line() -> None:
    assert within(60.0, work, "raise") == {FAILED: "ValueError: two lines"}


def test_a_process_that_takes_too_long_is_ended() -> None:
    began_s = time.monotonic()
    assert within(2.0, work, "sleep") == {FAILED: "not finished after 2 s"}
    assert time.monotonic() - began_s < 60.0


def test_a_process_that_dies_is_noticed() -> None:
    assert within(60.0, work, "die") == {FAILED: "its process ended with status 7, as for want of memory"}
