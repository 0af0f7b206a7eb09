"""Imported drives as the recordings that pre-training and distillation read: sequences of equal length, in shards."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from distill.recordings import FIELDS, write_shard
from pipeline.data_formats.drive import Drive, Split


def with_split(drives: Sequence[Drive], *, fraction: float) -> list[Drive]:
    """Return drives of which the last ones are held out, about ``fraction`` of all rows.

    Raises:
        ValueError: If there are not two.
    """
    if len(drives) < 2:
        raise ValueError(
            "one episode cannot be trained on and held out; import more drives, or cut this one: --episode-s SECONDS"
        )
    rows = np.cumsum([len(drive) for drive in drives])
    held = rows > (1.0 - fraction) * rows[-1]
    held[0], held[-1] = False, True
    splits: list[Split] = ["val" if one else "train" for one in held.tolist()]
    return [replace(drive, split=split) for drive, split in zip(drives, splits, strict=True)]


def write(
    folder: Path,
    drives: Sequence[Drive],
    *,
    sequence_steps: int,
    sequences_per_shard: int,
    source: str,
    kind: Literal["teacher", "specialist"] = "teacher",
) -> dict[str, int]:
    """Write ``train_NNN.h5`` and ``val_NNN.h5``; return the rows of each split.

    Episodes follow one another in a sequence. Every row is kept: if the last sequence is not full, it begins earlier
    and holds some rows of the one before again.

    Raises:
        ValueError: If a split has no drive, or less rows than a sequence.
    """
    counts = {}
    for split in ("train", "val"):
        chosen = [drive for drive in drives if drive.split == split]
        total = sum(map(len, chosen))
        if total < sequence_steps:
            raise ValueError(
                f"the part '{split}' has {total} rows and a sequence {sequence_steps}; import more, or give "
                "--sequence-steps and --val-fraction that fit"
            )
        rows = {name: np.concatenate([drive.rows[name] for drive in chosen]) for name in FIELDS[kind]}
        starts = [*range(0, total - sequence_steps, sequence_steps), total - sequence_steps]
        for number, low in enumerate(range(0, len(starts), sequences_per_shard)):
            spans = [slice(start, start + sequence_steps) for start in starts[low : low + sequences_per_shard]]
            arrays = {name: np.stack([values[span] for span in spans], axis=1) for name, values in rows.items()}
            attributes = {"embodiment": chosen[0].embodiment, "views": 1, "source": source, "ends": []}
            write_shard(folder / f"{split}_{number:03d}.h5", arrays, kind=kind, attributes=attributes)
        counts[split] = total
    return counts
