"""The commands ``crossbody`` and ``crossbody-runtime``: ``python -m pipeline`` and ``python -m export.runtime``."""

import sys

import crossbody  # the packages below are found by it


def main() -> int:
    """Run a stage or command; return the exit status."""
    assert crossbody.ROOT
    from pipeline.__main__ import main as run

    return run(sys.argv[1:])


def runtime() -> int:
    """Drive a robot; return the exit status."""
    assert crossbody.ROOT
    from export.runtime.__main__ import main as run

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
