#!/usr/bin/env python3
"""Writes data/variants.json: what models answer whose metadata or tensor types differ from a tiny model's.

Needs `pip install gguf numpy`. The output is the same on every run:
    python3 tests/reference/make_variants_golden.py

The forward pass is Qwen3-MoE as transformers' modeling_qwen3_moe.py has it, in float64 on gguf-py's dequantised
weights; rotary scaling is llama.cpp's (llama-context.cpp and ggml_rope_yarn), as numpy. It shares no code with
Trine. Each variant says which keys are set or left out and which tensors are stored in another type; the test
makes such a file and compares the logits of the last position.
"""
import json
import math
import pathlib

import numpy as np
from gguf import GGUFReader
from gguf.quants import dequantize

ROOT = pathlib.Path(__file__).resolve().parents[2]
BASE = "tiny/tied-Q4_K_M"
TOKENS = [3, 77, 500, 12, 12, 401, 9, 250, 33, 8, 111, 75, 318, 42, 7, 19, 264, 90, 501, 2]
A = "qwen3moe."


def read_base():
    reader = GGUFReader(ROOT / "models" / (BASE + ".gguf"))
    keys = {name: field.contents() for name, field in reader.fields.items() if name.startswith(A)}
    weights = {t.name: dequantize(t.data, t.tensor_type).astype(np.float64) for t in reader.tensors}
    return keys, weights


def rms_norm(x, weight, eps):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * weight


def rotary(keys, positions, dim):
    """cos and sin, [positions][dim / 2]."""
    base = keys.get(A + "rope.freq_base", 10000.0)
    kind = keys.get(A + "rope.scaling.type", "linear")
    factor = keys.get(A + "rope.scaling.factor", keys.get(A + "rope.scale_linear", 0.0))
    scale = 1.0 if kind == "none" or factor == 0 else 1.0 / factor
    pair = np.arange(dim // 2)
    extrapolated = np.outer(positions, base ** (-2.0 * pair / dim))
    angle = scale * extrapolated
    magnitude = keys.get(A + "rope.scaling.attn_factor", 1.0)
    if kind == "yarn":
        original = keys.get(A + "rope.scaling.original_context_length", 0) or keys[A + "context_length"]

        def corrected(turns):
            return dim * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(base))

        low = max(0, math.floor(corrected(keys.get(A + "rope.scaling.yarn_beta_fast", 32.0))))
        high = min(dim - 1, math.ceil(corrected(keys.get(A + "rope.scaling.yarn_beta_slow", 1.0))))
        ramp = 1 - np.clip((pair - low) / max(0.001, high - low), 0, 1)
        angle = angle * (1 - ramp) + extrapolated * ramp
        magnitude *= 1 + 0.1 * math.log(1 / scale)
    return np.cos(angle) * magnitude, np.sin(angle) * magnitude


def rotate(x, cos, sin):
    half = x.shape[-1] // 2
    a, b = x[..., :half], x[..., half:]
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], -1)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def logits(keys, weights):
    n_layers, n_heads = keys[A + "block_count"], keys[A + "attention.head_count"]
    n_kv = keys.get(A + "attention.head_count_kv", n_heads)
    dim = keys.get(A + "attention.key_length", keys[A + "embedding_length"] // n_heads)
    eps = keys[A + "attention.layer_norm_rms_epsilon"]
    used = keys[A + "expert_used_count"]
    n = len(TOKENS)
    cos, sin = rotary(keys, np.arange(n, dtype=np.float64), dim)
    mask = np.triu(np.full((n, n), -np.inf), 1)
    x = weights["token_embd.weight"][TOKENS]
    for layer in range(n_layers):
        w = {name[len(f"blk.{layer}."):-len(".weight")]: value for name, value in weights.items()
             if name.startswith(f"blk.{layer}.")}
        h = rms_norm(x, w["attn_norm"], eps)
        q = rms_norm((h @ w["attn_q"].T).reshape(n, n_heads, dim), w["attn_q_norm"], eps)
        k = rms_norm((h @ w["attn_k"].T).reshape(n, n_kv, dim), w["attn_k_norm"], eps)
        v = (h @ w["attn_v"].T).reshape(n, n_kv, dim)
        q = rotate(q, cos[:, None], sin[:, None])
        k = rotate(k, cos[:, None], sin[:, None])
        attended = np.empty((n, n_heads, dim))
        for head in range(n_heads):
            group = head // (n_heads // n_kv)
            attended[:, head] = softmax(q[:, head] @ k[:, group].T / math.sqrt(dim) + mask) @ v[:, group]
        x = x + attended.reshape(n, -1) @ w["attn_output"].T
        h = rms_norm(x, w["ffn_norm"], eps)
        chances = softmax(h @ w["ffn_gate_inp"].T)
        out = np.zeros_like(x)
        for t in range(n):
            chosen = np.argsort(-chances[t], kind="stable")[:used]
            total = chances[t, chosen].sum()
            for e in chosen:
                gate = w["ffn_gate_exps"][e] @ h[t]
                inner = gate / (1 + np.exp(-gate)) * (w["ffn_up_exps"][e] @ h[t])
                out[t] += chances[t, e] / total * (w["ffn_down_exps"][e] @ inner)
        x = x + out
    x = rms_norm(x, weights["output_norm.weight"], eps)
    return x[-1] @ weights.get("output.weight", weights["token_embd.weight"]).T


def stored_as(kind, values):
    """What is left of float32 values in another type; each conversion is simple enough to be made twice."""
    if kind == "F16":  # without subnormal numbers
        return np.where(abs(values) < 2.0**-14, 0, values).astype(np.float32).astype(np.float16).astype(np.float64)
    if kind == "BF16":  # cut off, not rounded
        return (values.astype(np.float32).view(np.uint32) & 0xFFFF0000).view(np.float32).astype(np.float64)
    if kind == "Q8_0":  # every block with the factor 1/64
        return np.clip(np.rint(values * 64), -127, 127) / 64
    raise ValueError(kind)


def f32(value):
    return float(np.float32(value))


def variants():
    yarn = {"rope.scaling.type": "yarn", "rope.scaling.factor": f32(4)}
    yield {"name": "as it is"}
    yield {"name": "no freq_base", "without": ["rope.freq_base"]}
    yield {"name": "attn_factor without yarn", "set": {"rope.scaling.attn_factor": f32(1.5)}}
    yield {"name": "linear", "set": {"rope.scaling.type": "linear", "rope.scaling.factor": f32(4)}}
    yield {"name": "a factor without a type", "set": {"rope.scaling.factor": f32(2.5)}}
    yield {"name": "the old key of the factor", "set": {"rope.scale_linear": f32(2)}}
    yield {"name": "linear with attn_factor",
           "set": {"rope.scaling.type": "linear", "rope.scaling.factor": f32(4), "rope.scaling.attn_factor": f32(0.7)}}
    yield {"name": "none with a factor and attn_factor",
           "set": {"rope.scaling.type": "none", "rope.scaling.factor": f32(4), "rope.scaling.attn_factor": f32(1.2)}}
    yield {"name": "linear, factor 0", "set": {"rope.scaling.type": "linear", "rope.scaling.factor": f32(0)}}
    yield {"name": "yarn", "set": yarn}
    yield {"name": "yarn with original_context_length",
           "set": yarn | {"rope.scaling.original_context_length": 64}}
    yield {"name": "yarn with original_context_length 0", "set": yarn | {"rope.scaling.original_context_length": 0}}
    yield {"name": "yarn with every key that is followed",
           "set": yarn | {"rope.scaling.original_context_length": 48, "rope.scaling.attn_factor": f32(1.25),
                          "rope.scaling.yarn_beta_fast": f32(16), "rope.scaling.yarn_beta_slow": f32(2),
                          "rope.scaling.yarn_ext_factor": f32(1), "rope.scaling.yarn_attn_factor": f32(1)}}
    for kind in ("F16", "BF16", "Q8_0"):
        yield {"name": f"routers in {kind}", "tensors": {"ffn_gate_inp": kind}}
    for kind in ("F16", "BF16"):
        norms = ("attn_norm", "ffn_norm", "attn_q_norm", "attn_k_norm", "output_norm")
        yield {"name": f"norms in {kind}", "tensors": dict.fromkeys(norms, kind)}


def main():
    keys, weights = read_base()
    out = []
    for variant in variants():
        changed = dict(keys)
        for key in variant.get("without", []):
            del changed[A + key]
        for key, value in variant.get("set", {}).items():
            changed[A + key] = value
        stored = {}
        for name, values in weights.items():
            kind = variant.get("tensors", {}).get(name.split(".")[-2])
            stored[name] = stored_as(kind, values) if kind else values
        out.append(variant | {"logits": [round(float(x), 6) for x in logits(changed, stored)]})
    document = {"base": BASE, "tokens": TOKENS, "variants": out}
    text = json.dumps(document, indent=None, separators=(",", ":")).replace('{"name"', '\n{"name"')
    (ROOT / "tests/reference/data/variants.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
