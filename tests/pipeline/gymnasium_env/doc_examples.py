"""The Python examples of ``docs/gymnasium.md``, at the sizes of a test."""

import re
from typing import Any

from pipeline.runs.provenance import ROOT


def example(name: str, **sizes: Any) -> str:
    """Return the code block under the comment ``example: NAME``, with other values after ``NAME=`` and ``NAME =``.

    Raises:
        AssertionError: If there is no such block, or a size is not in it.
    """
    page = (ROOT / "docs" / "gymnasium.md").read_text(encoding="utf-8")
    found = re.search(rf"<!-- example: {name} -->\n```python\n(.*?)```", page, re.DOTALL)
    assert found, f"docs/gymnasium.md has no example '{name}'"
    code = found[1]
    for option, value in sizes.items():
        code, count = re.subn(rf"\b{option}( ?= ?)(\([^)]*\)|[\w.\"]+)", rf"{option}\g<1>{value!r}", code)
        assert count == 1, f"example '{name}' has {count} times '{option}'"
    return code
