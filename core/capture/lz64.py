"""LZ-string's base64 form, decoded with a bound.

The `lzstring` package has none: its output grows with the square of its input, so two megabytes
could ask for hundreds of gigabytes. It also goes bit by bit, which is 20 times slower.
"""

import base64
import binascii

_REVERSED_BITS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_LITERAL_8_BITS, _LITERAL_16_BITS, _END = 0, 1, 2


class TooMuchOutput(ValueError):  # noqa: N818 reads as the reason
    """The text would be longer than allowed."""


class _Bits:
    """Reads numbers least significant bit first from a stream whose bytes are most significant bit first."""

    __slots__ = ("data", "end", "position")

    def __init__(self, data: bytes) -> None:
        self.data = data.translate(_REVERSED_BITS)
        self.position = 0
        self.end = len(data) * 8

    def take(self, count: int) -> int:
        position = self.position
        if position >= self.end:
            message = "LZ64 data ends too early"
            raise ValueError(message)
        self.position = position + count
        start = position >> 3
        window = int.from_bytes(self.data[start : start + 5], "little")
        return (window >> (position & 7)) & ((1 << count) - 1)


def lz64_decode(payload: bytes, limit: int) -> str:
    """Return the text of `compressToBase64` output; ValueError when it is broken or longer than `limit`."""
    text = payload.replace(b" ", b"+").rstrip(b"=\r\n\t +")
    try:
        data = base64.b64decode(text + b"A" * (-len(text) % 4), validate=True)
    except binascii.Error as error:
        message = "not base64"
        raise ValueError(message) from error
    units = _decompress(_Bits(data + b"\0"), limit)
    return units.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _decompress(bits: _Bits, limit: int) -> str:
    kind = bits.take(2)
    if kind == _END:
        return ""
    if kind not in (_LITERAL_8_BITS, _LITERAL_16_BITS):
        message = "LZ64 data begins with an unknown code"
        raise ValueError(message)
    previous = chr(bits.take(8 if kind == _LITERAL_8_BITS else 16))
    # Codes 0 to 2 are commands; every code read adds one entry, and a code grows by a bit when they run out.
    entries: list[str] = ["", "", "", previous]
    width, left = 3, 4
    output = [previous]
    size = 1
    while (code := bits.take(width)) != _END:
        if code <= _LITERAL_16_BITS:
            entries.append(chr(bits.take(8 if code == _LITERAL_8_BITS else 16)))
            code = len(entries) - 1
            left -= 1
            if not left:
                left, width = 1 << width, width + 1
        if code < len(entries):
            entry = entries[code]
        elif code == len(entries):
            entry = previous + previous[0]
        else:
            message = "LZ64 data refers to an unknown entry"
            raise ValueError(message)
        output.append(entry)
        size += len(entry)
        if size > limit:
            message = "too much output"
            raise TooMuchOutput(message)
        entries.append(previous + entry[0])
        previous = entry
        left -= 1
        if not left:
            left, width = 1 << width, width + 1
    return "".join(output)
