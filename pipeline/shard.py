"""A share of a job's files, for several machines that know nothing of each other: `--shard 3/16`."""

import os
import re
from dataclasses import dataclass
from zlib import crc32

PATTERN = re.compile(r"([1-9]\d{0,8})/([1-9]\d{0,8})")


@dataclass(frozen=True)
class Shard:
    """Part `number`, from 1, of `count` equal parts. Which one a file is in depends on its stream's name alone, so a
    file stays where it is when others come.
    """

    number: int
    count: int

    def has(self, stream: str) -> bool:
        """Whether a stream is in this part."""
        return crc32(os.fsencode(stream)) % self.count == self.number - 1

    @property
    def suffix(self) -> str:
        """What names of files get that each part has of its own."""
        return f"-{self.number}-of-{self.count}"


def shard(text: str) -> Shard:
    """The part that a text such as "3/16" means. Raises ValueError: it means none."""
    found = PATTERN.fullmatch(text)
    if not found or int(found[1]) > int(found[2]):
        raise ValueError(f"{text!r}: expected K/N, part K of N, such as 3/16")
    return Shard(int(found[1]), int(found[2]))
