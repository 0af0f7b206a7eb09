"""A policy process without a policy, and a process that keeps a core busy. Imports little, so that both start fast."""

import time
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event

from export.runtime.driver.messages import Order, pack_order, unpack_report

OVERRUN_S = 0.6


def obey(connection: Connection, is_slow: Event, answered_s: "Synchronized[float]") -> None:
    """Be a policy process that wants to go ahead; while ``is_slow`` its step takes six control periods."""
    number = 0
    while True:
        try:
            report = unpack_report(connection.recv_bytes())
        except EOFError:
            return
        while connection.poll(0.0):  # as DriverProcess.receive: only the newest counts
            report = unpack_report(connection.recv_bytes())
        slow = is_slow.is_set()
        if slow:
            time.sleep(OVERRUN_S)
        number += 1
        connection.send_bytes(pack_order(Order(sequence=number, basis=report.sequence, command=(0.15, 0.0, 0.0))))
        if not slow:
            answered_s.value = time.monotonic()


def burn() -> None:
    """Keep a core busy."""
    while True:
        sum(range(10_000))
