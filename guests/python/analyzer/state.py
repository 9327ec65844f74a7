"""The module's state as bytes: what snapshot gives and restore takes. The same bytes in every language, so that a module
takes over from one in another.

A magic word with the version, then the table of categories and the table of products, each after its length in bytes (u32,
little-endian). An entry of a table is its numbers (f64, little-endian), the length of its key (u32), and the key (UTF-8).
"""

import struct

# Four letters, the last of which is the version.
MAGIC = b"ana1"

# A table remembers at most this many bytes: what memory a hostile feed of ever new keys can take.
MAX_BYTES = 24 << 20

LENGTH = struct.Struct("<I")


class Table:
    """Text to a few numbers, always in the form in which it is saved: a snapshot is a copy of the bytes."""

    def __init__(self, numbers: int) -> None:
        self._numbers = struct.Struct(f"<{numbers}d")
        self._bytes = bytearray()
        self._index: dict[str, int] = {}

    def slot(self, key: str, first: tuple[float, ...]) -> int | None:
        """Where the entry of a key is, made with `first` if it is new. None if there is no room for another."""
        at = self._index.get(key)
        if at is None:
            text = key.encode()
            at = len(self._bytes)
            entry = self._numbers.pack(*first) + LENGTH.pack(len(text)) + text
            if at + len(entry) > MAX_BYTES:
                return None
            self._bytes += entry
            self._index[key] = at
        return at

    def get(self, at: int) -> tuple[float, ...]:
        return self._numbers.unpack_from(self._bytes, at)

    def set(self, at: int, numbers: tuple[float, ...]) -> None:
        self._numbers.pack_into(self._bytes, at, *numbers)

    def save(self) -> bytes:
        return bytes(self._bytes)

    def load(self, saved: bytes) -> None:
        """Takes up the bytes of a table. A ValueError or struct.error if they are not those of one."""
        if len(saved) > MAX_BYTES:
            raise ValueError("too long")
        index: dict[str, int] = {}
        at = 0
        while at < len(saved):
            (length,) = LENGTH.unpack_from(saved, at + self._numbers.size)
            begin = at + self._numbers.size + LENGTH.size
            if begin + length > len(saved):
                raise ValueError("a key is cut off")
            key = saved[begin : begin + length].decode()
            if key in index:
                raise ValueError("a key comes twice")
            index[key] = at
            at = begin + length
        self._bytes, self._index = bytearray(saved), index


def write(categories: Table, products: Table) -> bytes:
    """The state as bytes."""
    parts = [MAGIC]
    for saved in (categories.save(), products.save()):
        parts += (LENGTH.pack(len(saved)), saved)
    return b"".join(parts)


def read(saved: bytes) -> tuple[Table, Table]:
    """The state of these bytes. A ValueError says what is wrong with them."""
    if not saved.startswith(MAGIC):
        raise ValueError("the state is not one of this module, or of a later version of it")
    categories, products = Table(3), Table(1)
    at = len(MAGIC)
    try:
        for table in (categories, products):
            (length,) = LENGTH.unpack_from(saved, at)
            at += LENGTH.size
            if at + length > len(saved):
                raise ValueError("a table is cut off")
            table.load(saved[at : at + length])
            at += length
        if at != len(saved):
            raise ValueError("bytes are left over")
    except (ValueError, struct.error):
        raise ValueError(f"the state of {len(saved)} bytes is damaged") from None
    return categories, products
