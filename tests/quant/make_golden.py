#!/usr/bin/env python3
"""Writes data/blocks.bin: blocks of every supported type and the floats that gguf-py decodes them to.

Needs `pip install gguf numpy`. The output is the same on every run:
    python3 tests/quant/make_golden.py

Format, little-endian, one record per type until the end of the file:
    u32 length of the name, the name, u32 blocks, u32 elements per block, u32 bytes per block,
    the blocks, then blocks * elements float32.
"""
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
# Per block: ordinary, largest, smallest subnormal, negative, zero, infinite, NaN.
FACTORS = [0x2C3D, 0x7BFF, 0x0001, 0xA9E7, 0x8000, 0xFC00, 0x7E01]
EXPONENTS = [120, 0, 1, 2, 127, 254, 255]  # MXFP4


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


def main():
    rng = np.random.default_rng(20240229)
    out = bytearray()
    for name in ["F32", "F16", "BF16", "Q8_0", *sorted(set(HALVES) - {"Q8_0"}), "MXFP4"]:
        qtype = GGMLQuantizationType[name]
        elements, size = GGML_QUANT_SIZES[qtype]
        blocks = np.ascontiguousarray(blocks_of(name, rng, size))
        with np.errstate(all="ignore"):
            if name == "F32":
                values = blocks.view(np.float32)
            elif name == "F16":
                values = blocks.view(np.float16).astype(np.float32)
            else:
                values = dequantize(blocks, qtype)
        values = np.ascontiguousarray(values, dtype="<f4").reshape(-1)
        assert values.size == blocks.shape[0] * elements, name
        encoded = name.encode()
        out += struct.pack("<I", len(encoded)) + encoded
        out += struct.pack("<III", blocks.shape[0], elements, size)
        out += blocks.tobytes() + values.tobytes()
    path = pathlib.Path(__file__).with_name("data") / "blocks.bin"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(out)
    print(path, len(out), "bytes")


if __name__ == "__main__":
    main()
