"""What the options of a volume's driver come to. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

# A tmpfs is memory; with `bind` among its options it would be a directory of the host.
_OF_MEMORY = re.compile(
    r"(?:size|uid|gid|mode|nr_inodes|nr_blocks)=[0-9a-zA-Z%]+|no(?:exec|suid|dev|atime)|r[ow]"
)


def own_data(options: Mapping[str, str]) -> bool:
    """Whether a volume with these options keeps data of its own, in the engine or in memory.

    All others lead to data that was there before: a folder of the host, a disk, another machine.
    """
    words = [word for word in options.get("o", "").split(",") if word]
    known = options.keys() <= {"type", "device", "o"} and options.get("type") == "tmpfs"
    return not options or (known and all(_OF_MEMORY.fullmatch(word) for word in words))
