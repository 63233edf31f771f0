"""The folder of a training: input packs, spools of half-done packs, files of finished ones.

What survives SIGKILL at any instant is decided here. A group is done when its result stands whole in
the spool of its pack; a pack is done when its folder has its final name; a batch of packs is
promised to the tables when its list is written, before the commit. Renames are atomic on local and
network file systems, which is what a staging folder must be on.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import field
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

from lakemill.core.records import record, to_json
from lakemill.engines.process import Failure
from lakemill.training.many.rows import SUFFIX


@record
class Finished:
    """The result of one group: its rows by output table in Arrow's format, or why there are none."""

    key: tuple[Any, ...]
    rows: Mapping[str, bytes] = field(default_factory=dict)
    failure: Failure | None = None
    seconds: float = 0.0


class Spool:
    """Results of the groups of one pack, in memory and one pickle after the other; torn tails are ignored.

    Every attempt appends to a file of its own, so that one which the engine has given up, and which
    may yet be alive on another machine, spoils nothing.

    Parameters
    ----------
    folder
        Where the files of all packs are: removing a folder takes some disks milliseconds, a file none.
    pack
        The number of the pack; there may be files of attempts at it that were killed.

    Attributes
    ----------
    finished
        The result of every group that is done, by key.
    """

    def __init__(self, folder: Path, pack: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._paths = sorted(folder.glob(f"{pack:06d}-*"))
        self.finished = {item.key: item for path in self._paths for item in _whole(path)}
        self._paths.append(folder / f"{pack:06d}-{uuid4().hex}")
        self._file: BinaryIO = self._paths[-1].open("xb")

    def add(self, item: Finished) -> None:
        """Append one result and hand it to the operating system, which outlives this process."""
        pickle.dump(item, self._file)
        self._file.flush()
        self.finished[item.key] = item

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def remove(self) -> None:
        """Delete the files of the pack, which is finished."""
        for path in self._paths:
            path.unlink(missing_ok=True)


def _whole(path: Path) -> Iterator[Finished]:
    """Yield the results in a file up to the first that is torn."""
    with path.open("rb") as file, suppress(EOFError, pickle.UnpicklingError, IndexError):
        while True:
            yield pickle.load(file)


class Staging:
    """The folder of one training.

    Parameters
    ----------
    root
        Its path, the same on every worker.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @staticmethod
    def part(name: str) -> str:
        """Return where the files of an input part are, relative to the folder."""
        return f"packs/{name}/{{pack:06d}}{SUFFIX}"

    @staticmethod
    def output(phase: str, name: str) -> str:
        """Return where the files of a phase's output are, relative to the folder."""
        return f"results/{phase}/{{pack:06d}}/{name}{SUFFIX}"

    def pack_file(self, part: str, pack: int) -> Path:
        """Return the input file of a pack."""
        return self.root / self.part(part).format(pack=pack)

    @contextmanager
    def spool(self, phase: str, pack: int) -> Iterator[Spool]:
        """Open the spool of a pack; it goes when the pack is finished."""
        with closing(Spool(self.root / "spools" / phase, pack)) as spool:
            yield spool
        spool.remove()

    @contextmanager
    def finishing(self, phase: str, pack: int) -> Iterator[Path]:
        """Give a folder for a pack's files, and its final name when they are all there."""
        final = self.result(phase, pack)
        folder = final.with_name(f".{final.name}-{uuid4().hex}")
        folder.mkdir(parents=True)
        yield folder
        with suppress(OSError):  # another attempt was first; its files are equal
            folder.rename(final)
        shutil.rmtree(folder, ignore_errors=True)

    def result_file(self, phase: str, pack: int, output: str) -> Path:
        """Return the file of an output of a finished pack."""
        return self.root / self.output(phase, output).format(pack=pack)

    def result(self, phase: str, pack: int) -> Path:
        """Return the folder of a finished pack."""
        return self.root / "results" / phase / f"{pack:06d}"

    def finished_packs(self, phase: str) -> set[int]:
        """Return the packs whose files are whole."""
        folder = self.root / "results" / phase
        return {int(path.name) for path in folder.glob("[0-9]*")} if folder.exists() else set()

    def promise(self, phase: str, sequence: int, packs: Sequence[int]) -> None:
        """Write down which packs make up a commit, before it is made."""
        write_atomically(self.root / "batches" / phase / f"{sequence:06d}.json", to_json(list(packs)))

    def promises(self, phase: str) -> list[list[int]]:
        """Return the packs of every commit that was made or begun, in order."""
        folder = self.root / "batches" / phase
        paths = sorted(folder.glob("*.json")) if folder.exists() else []
        return [json.loads(path.read_text()) for path in paths]

    def note(self, name: str, text: str) -> None:
        """Keep a small text, whole or not at all."""
        write_atomically(self.root / name, text)

    def noted(self, name: str) -> str | None:
        """Return a kept text, or None."""
        path = self.root / name
        return path.read_text() if path.exists() else None

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.root, ignore_errors=True)


def write_atomically(path: Path, text: str) -> None:
    """Write a file that is whole whenever it is seen."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}-{os.getpid()}")
    draft.write_text(text)
    draft.replace(path)
