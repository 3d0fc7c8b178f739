"""Writing bytes the way `.gz` and `.zst` allow it, and the ways to break either."""

import gzip
import random
import struct
import zlib

import pyarrow as pa

Random = random.Random
_MASK = (1 << 64) - 1


def compressed(rng: Random, content: bytes, ending: str) -> bytes:
    """Return the content as a file of this ending holds it: "", ".gz" or ".zst", in one part or in several."""
    if not ending:
        return content
    write = {".gz": _gzip_member, ".zst": _zstd_frame}[ending]
    cuts = sorted(rng.randrange(len(content) + 1) for _ in range(rng.choice((0, 0, 1, 3))))
    parts = [content[a:b] for a, b in zip([0, *cuts], [*cuts, len(content)], strict=True)]
    return b"".join(write(rng, part) for part in parts)


def broken(rng: Random, content: bytes, ending: str) -> tuple[bytes, str]:
    """Return a compressed file with a fault, and what an error about it has to mention."""
    name, ways = {
        ".gz": ("gzip", (_bad_gzip_checksum, _bad_gzip_length, _cut, _garbage_behind, _not_compressed)),
        ".zst": ("zstd|Zstandard|ZSTD", (_bad_zstd_checksum, _cut, _garbage_behind, _not_compressed)),
    }[ending]
    return rng.choice(ways)(rng, content, ending), rf"{name}|compress|checksum"


def _gzip_member(rng: Random, content: bytes) -> bytes:
    if rng.random() < 0.7:
        return gzip.compress(content, rng.choice((0, 1, 9)), mtime=0)
    squeezed = zlib.compressobj(6, zlib.DEFLATED, -15)
    body = squeezed.compress(content) + squeezed.flush()
    named_and_commented = b"\x1f\x8b\x08\x18" + bytes(6) + b"rows.csv\0" + b"a comment\0"
    return named_and_commented + body + struct.pack("<II", zlib.crc32(content), len(content) & 0xFFFFFFFF)


def _zstd_frame(rng: Random, content: bytes) -> bytes:
    match rng.randrange(4):
        case 0:
            return _raw_zstd_frame(content, xxh64(content))
        case 1:
            skipped = rng.randbytes(rng.randrange(20))
            return struct.pack("<II", 0x184D2A50, len(skipped)) + skipped + _pyarrow_zstd(content)
        case _:
            return _pyarrow_zstd(content)


def _pyarrow_zstd(content: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(content, asbytes=True))


def _raw_zstd_frame(content: bytes, checksum: int) -> bytes:
    """Return a frame of uncompressed blocks, with the checksum of its content (RFC 8878)."""
    frame = [struct.pack("<IBQ", 0xFD2FB528, 0b11100100, len(content))]
    blocks = [content[at : at + 100_000] for at in range(0, len(content), 100_000)] or [b""]
    for number, block in enumerate(blocks, 1):
        header = len(block) << 3 | (number == len(blocks))
        frame += [struct.pack("<I", header)[:3], block]
    return b"".join([*frame, struct.pack("<I", checksum & 0xFFFFFFFF)])


def _bad_gzip_checksum(rng: Random, content: bytes, ending: str) -> bytes:
    whole = bytearray(gzip.compress(content, 1, mtime=0))
    whole[-8 + rng.randrange(4)] ^= 1 << rng.randrange(8)
    return bytes(whole)


def _bad_gzip_length(rng: Random, content: bytes, ending: str) -> bytes:
    whole = bytearray(gzip.compress(content, 1, mtime=0))
    whole[-4 + rng.randrange(4)] ^= 1 << rng.randrange(8)
    return bytes(whole)


def _bad_zstd_checksum(rng: Random, content: bytes, ending: str) -> bytes:
    return _raw_zstd_frame(content, xxh64(content) ^ 1 << rng.randrange(32))


def _cut(rng: Random, content: bytes, ending: str) -> bytes:
    whole = gzip.compress(content, 1, mtime=0) if ending == ".gz" else _raw_zstd_frame(content, xxh64(content))
    return whole[: rng.randrange(max(4, len(whole) // 2), len(whole))]


def _garbage_behind(rng: Random, content: bytes, ending: str) -> bytes:
    whole = gzip.compress(content, 1, mtime=0) if ending == ".gz" else _pyarrow_zstd(content)
    return whole + b"garbage " * rng.choice((1, 3, 2000))


def _not_compressed(rng: Random, content: bytes, ending: str) -> bytes:
    return b"a plain file, " + content


def xxh64(content: bytes) -> int:
    """Return the XXH64 digest, seed 0, of which a Zstandard frame ends with the lower half."""
    p1, p2, p3, p4, p5 = (
        0x9E3779B185EBCA87,
        0xC2B2AE3D27D4EB4F,
        0x165667B19E3779F9,
        0x85EBCA77C2B2AE63,
        0x27D4EB2F165667C5,
    )

    def rotated(value: int, bits: int) -> int:
        value &= _MASK
        return (value << bits | value >> (64 - bits)) & _MASK

    def rounded(lane: int, word: int) -> int:
        return rotated(lane + word * p2, 31) * p1 & _MASK

    at = len(content) - len(content) % 32
    digest = p5
    if at:
        lanes = [p1 + p2, p2, 0, -p1]
        for words in struct.iter_unpack("<4Q", content[:at]):
            lanes = [rounded(lane, word) for lane, word in zip(lanes, words, strict=True)]
        digest = sum(rotated(lane, bits) for lane, bits in zip(lanes, (1, 7, 12, 18), strict=True))
        for lane in lanes:
            digest = ((digest ^ rounded(0, lane)) * p1 + p4) & _MASK
    digest += len(content)
    for (word,) in struct.iter_unpack("<Q", content[at : at + (len(content) - at) // 8 * 8]):
        digest = rotated(digest ^ rounded(0, word), 27) * p1 + p4
    at += (len(content) - at) // 8 * 8
    if len(content) - at >= 4:
        digest = rotated(digest ^ int.from_bytes(content[at : at + 4], "little") * p1, 23) * p2 + p3
        at += 4
    for byte in content[at:]:
        digest = rotated(digest ^ byte * p5, 11) * p1
    for shift, prime in ((33, p2), (29, p3), (32, 1)):
        digest &= _MASK
        digest = (digest ^ digest >> shift) * prime
    return digest & _MASK
