"""Read MCAP by ``rosbags``, which has nothing in common with the packages that write it."""

from pathlib import Path
from typing import Any, NamedTuple

from rosbags.highlevel import AnyReader


class Read(NamedTuple):
    """What a file holds."""

    kinds: dict[str, str]
    """Topic -> type"""
    messages: dict[str, list[Any]]
    """Topic -> messages in order of time"""
    times_ns: dict[str, list[int]]


def read(path: Path) -> Read:
    """Return everything in a file."""
    found = Read({}, {}, {})
    with AnyReader([path]) as reader:
        for connection, time_ns, data in reader.messages():
            found.kinds[connection.topic] = connection.msgtype
            found.messages.setdefault(connection.topic, []).append(reader.deserialize(data, connection.msgtype))
            found.times_ns.setdefault(connection.topic, []).append(time_ns)
    return found
