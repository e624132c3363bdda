#!/usr/bin/env python3
"""Writes data/blocks.bin: blocks of every supported type and the floats that gguf-py decodes them to;
and data/points.bin: blocks that hold every point of every code book, and a hash of those floats.

Needs `pip install gguf numpy`. The output is the same on every run:
    python3 tests/quant/make_golden.py

Format, little-endian, one record per type until the end of the file:
    u32 length of the name, the name, u32 blocks, u32 elements per block, u32 bytes per block,
    the blocks, then blocks * elements float32 (in points.bin their SHA-256, 64 digits).
"""
import hashlib
import pathlib
import struct

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize

# Where each type keeps its half-precision factors: byte offsets within the block.
HALVES = {
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108],
    "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0], "IQ4_XS": [0],
}
# The types of code books and of base 3: where their half lies, and the number of points in the book.
# IQ1_M has its half in four pieces.
BOOKS = {
    "IQ2_XXS": (0, 256), "IQ2_XS": (0, 512), "IQ2_S": (0, 1024), "IQ3_XXS": (0, 256), "IQ3_S": (0, 512),
    "IQ1_S": (0, 2048), "IQ1_M": (None, 2048), "TQ1_0": (52, 0), "TQ2_0": (64, 0),
}
# Per block: ordinary, largest, smallest subnormal, negative, zero, infinite, NaN.
FACTORS = [0x2C3D, 0x7BFF, 0x0001, 0xA9E7, 0x8000, 0xFC00, 0x7E01]
EXPONENTS = [120, 0, 1, 2, 127, 254, 255]  # MXFP4
BOOK_FACTORS = [0x2C3D, 0x7BFF, 0xA9E7, 0x7E01]  # a block is 1 KiB of floats: fewer of them


def blocks_of(name, rng, size):
    if name == "F32":
        special = [0, 0x80000000, 1, 0x007FFFFF, 0x7F7FFFFF, 0x7F800000, 0xFF800000, 0x7FC00000, 0x3F800001]
        return np.array(special, dtype="<u4").view(np.uint8).reshape(-1, 4)
    if name in ("F16", "BF16"):  # a sample over all bits, without signalling NaNs, which a conversion may quieten
        bits = np.arange(0, 65536, dtype=np.uint32)
        quiet, exponent = (0x0200, 0x7C00) if name == "F16" else (0x0040, 0x7F80)
        nan = ((bits & exponent) == exponent) & ((bits & (0x03FF if name == "F16" else 0x007F)) != 0)
        bits = bits[~nan | ((bits & quiet) != 0)]
        special = np.array([0, 0x8000, 1, exponent - 1, exponent, exponent | 0x8000, exponent | quiet | 1])
        bits = np.concatenate([special, bits[::97]])
        return bits.astype("<u2").view(np.uint8).reshape(-1, 2)
    blocks = rng.integers(0, 256, size=(len(FACTORS), size), dtype=np.uint8)
    if name == "MXFP4":
        blocks[:, 0] = EXPONENTS
    for row, factor in enumerate(FACTORS):
        for offset in HALVES.get(name, []):
            blocks[row, offset : offset + 2] = np.array([factor], dtype="<u2").view(np.uint8)
    if size < 32:  # 4- and 5-bit blocks end in 16 bytes of nibbles: every value in each half
        blocks[0, -16:] = np.arange(16) * 16 + np.arange(15, -1, -1)
    if len(HALVES.get(name, [])) == 2:  # the two factors differ, so that swapping them shows
        blocks[0, HALVES[name][1] : HALVES[name][1] + 2] = np.array([0xB155], dtype="<u2").view(np.uint8)
    return blocks


def set_half(name, block, bits):
    offset, _ = BOOKS[name]
    if offset is not None:
        block[offset : offset + 2] = np.array([bits], dtype="<u2").view(np.uint8)
        return
    words = block[48:56].view("<u2")
    for i in range(4):
        words[i] = (words[i] & 0x0FFF) | ((bits >> (4 * i) & 15) << 12)


def book_blocks(name, rng, size):
    blocks = rng.integers(0, 256, size=(len(BOOK_FACTORS), size), dtype=np.uint8)
    for row, factor in enumerate(BOOK_FACTORS):
        set_half(name, blocks[row], factor)
    return blocks


def put(block, at, shift, bits, value):  # into the two bytes at `at`
    word = int(block[at]) | int(block[at + 1]) << 8
    word = word & ~(((1 << bits) - 1) << shift) | value << shift
    block[at], block[at + 1] = word & 255, word >> 8


# Index i of a block, in place.
def set_index(name, block, i, index):
    if name == "IQ2_XXS":
        block[2 + 8 * (i // 4) + i % 4] = index
    elif name == "IQ2_XS":
        put(block, 2 + 2 * i, 0, 9, index)
    else:
        block[i if name == "IQ1_M" else 2 + i] = index & 255
    if name == "IQ2_S":
        put(block, 66 + i // 4, 2 * (i % 4), 2, index >> 8)
    elif name == "IQ3_S":
        put(block, 66 + i // 8, i % 8, 1, index >> 8)
    elif name == "IQ1_S":
        put(block, 34 + 2 * (i // 4), 3 * (i % 4), 3, index >> 8)
    elif name == "IQ1_M":
        put(block, 32 + i // 2, 4 * (i % 2), 3, index >> 8)


# Every point once, in an order that has its neighbours apart.
def point_blocks(name, rng, size):
    points = BOOKS[name][1]
    per_block = 64 if name.startswith("IQ3") else 32
    blocks = rng.integers(0, 256, size=(points // per_block, size), dtype=np.uint8)
    order = rng.permutation(points)
    for row, block in enumerate(blocks):
        set_half(name, block, 0x2C3D + row)
        for i in range(per_block):
            set_index(name, block, i, int(order[row * per_block + i]))
    return blocks


def header(name, blocks):
    encoded = name.encode()
    elements, size = GGML_QUANT_SIZES[GGMLQuantizationType[name]]
    return struct.pack("<I", len(encoded)) + encoded + struct.pack("<III", blocks.shape[0], elements, size)


def decoded(name, blocks):
    qtype = GGMLQuantizationType[name]
    with np.errstate(all="ignore"):
        if name == "F32":
            values = blocks.view(np.float32)
        elif name == "F16":
            values = blocks.view(np.float16).astype(np.float32)
        else:
            values = dequantize(blocks, qtype)
    values = np.ascontiguousarray(values, dtype="<f4").reshape(-1)
    assert values.size == blocks.shape[0] * GGML_QUANT_SIZES[qtype][0], name
    return values.tobytes()


def main():
    rng = np.random.default_rng(20240229)
    out = bytearray()
    for name in ["F32", "F16", "BF16", "Q8_0", *sorted(set(HALVES) - {"Q8_0"}), "MXFP4", *BOOKS]:
        size = GGML_QUANT_SIZES[GGMLQuantizationType[name]][1]
        make = book_blocks if name in BOOKS else blocks_of
        blocks = np.ascontiguousarray(make(name, rng, size))
        out += header(name, blocks) + blocks.tobytes() + decoded(name, blocks)
    points = bytearray()
    for name in (book for book, (_, count) in BOOKS.items() if count):
        blocks = point_blocks(name, rng, GGML_QUANT_SIZES[GGMLQuantizationType[name]][1])
        points += header(name, blocks) + blocks.tobytes() + hashlib.sha256(decoded(name, blocks)).hexdigest().encode()
    for file, content in (("blocks.bin", out), ("points.bin", points)):
        path = pathlib.Path(__file__).with_name("data") / file
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        print(path, len(content), "bytes")


if __name__ == "__main__":
    main()
