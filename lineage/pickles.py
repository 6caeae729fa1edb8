"""Which files hold pickles: data whose reading can run code. They are looked at, never loaded."""

from __future__ import annotations

import io
import pickletools

_SUFFIXES = (".pkl", ".pickle", ".joblib", ".pt", ".pth", ".bin", ".ckpt", ".dill", ".cloudpickle")
_COMPRESSED = (".gz", ".bz2", ".xz", ".lzma", ".zst", ".z")
_IMPORTS = frozenset({"GLOBAL", "STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"})
_CALLS = frozenset({"REDUCE", "BUILD", "NEWOBJ", "NEWOBJ_EX", "OBJ", "INST"})
_OPCODES = 50_000


def named_like_one(path: str) -> bool:
    """Whether a file of this name commonly is, or holds, a pickle; joblib's and gzip's endings are looked through."""
    name = path.lower()
    for ending in _COMPRESSED:
        name = name.removesuffix(ending)
    return name.endswith(_SUFFIXES)


def runs_code(data: bytes) -> bool:
    """Whether reading `data` as a pickle would import and call something.

    What stands before an error counts, as an unpickler has run it by then. Text can be mistaken for the oldest
    protocols, whose opcodes are letters: without the mark of a newer one it must make sense to its end.
    """
    marked = data[:1] == b"\x80"
    imports = calls = False
    try:
        for count, (opcode, _, _) in enumerate(pickletools.genops(io.BytesIO(data))):
            imports = imports or opcode.name in _IMPORTS
            calls = calls or opcode.name in _CALLS
            if marked and imports and calls:
                return True
            if count > _OPCODES:  # nobody pickles so much by hand: what cannot be seen to its end is not trusted
                return marked or imports
    except ValueError:
        return False
    return imports and calls
