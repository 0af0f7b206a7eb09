"""The commands ``crossbody`` and ``crossbody-runtime``: ``python -m pipeline`` and ``python -m export.runtime``.

The package itself is imported first and puts both on Python's path.
"""

import sys


def main() -> int:
    """Run a stage or command; return the exit status."""
    from pipeline.__main__ import main as run

    return run(sys.argv[1:])


def runtime() -> int:
    """Drive a robot; return the exit status."""
    from export.runtime.__main__ import main as run

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
