"""The item that a child has in hand, in memory that it shares with its parent.

The child writes it before it begins an item and goes on at once; the parent looks when it has a
reason to. A message for each item would wake the parent thousands of times a second for nothing.
"""

from __future__ import annotations

import hashlib
import mmap
from typing import Final, NamedTuple

MAX_NAME_BYTES: Final = 1000
_COUNT_BYTES: Final = 8
_LENGTH_BYTES: Final = 2
_PLACE_BYTES: Final = 1024
SIZE: Final = _COUNT_BYTES + 2 * _PLACE_BYTES


class Held(NamedTuple):
    """How many items the child has taken up, and the name of the last."""

    number: int
    item: str


class Hand:
    """What is written stands whole, also where the writer is killed while it writes the next.

    Items go to two places in turn, and count after they have been written.

    Parameters
    ----------
    file
        Descriptor of a file of `SIZE` bytes that both processes have open.
    """

    def __init__(self, file: int) -> None:
        self._memory = mmap.mmap(file, SIZE)

    def take(self, item: str) -> None:
        """Write the name of the next item; for the one process that works."""
        name = item.encode()
        count = self._count() + 1
        place = self._place(count)
        end = place + _LENGTH_BYTES + len(name)
        self._memory[place:end] = len(name).to_bytes(_LENGTH_BYTES, "little") + name
        self._memory[:_COUNT_BYTES] = count.to_bytes(_COUNT_BYTES, "little")

    def look(self) -> Held:
        """Return what is in hand."""
        while True:
            count = self._count()
            name = self._name(self._place(count))
            if self._count() == count:  # else the writer may have come round to this place
                return Held(count, name.decode())

    def close(self) -> None:
        """Give the memory back."""
        self._memory.close()

    def _count(self) -> int:
        return int.from_bytes(self._memory[:_COUNT_BYTES], "little")

    def _name(self, place: int) -> bytes:
        start = place + _LENGTH_BYTES
        return self._memory[start : start + int.from_bytes(self._memory[place:start], "little")]

    @staticmethod
    def _place(count: int) -> int:
        return _COUNT_BYTES + count % 2 * _PLACE_BYTES


def short(item: str) -> str:
    """Return a name that fits: the item's own, or a hash of it.

    Examples
    --------
    >>> short("a"), len(short("a" * 5000))
    ('a', 64)
    """
    name = item.encode("utf-8", "backslashreplace")
    return name.decode() if len(name) <= MAX_NAME_BYTES else hashlib.sha256(name).hexdigest()
