#!/usr/bin/env python3
"""Writes tests/text/data/*.json: what Hugging Face `tokenizers` (0.22.1) makes of our texts.

    make_golden.py [GGUF with the Qwen2 vocabulary]

samples.json: chosen texts under models/tokenizer.json, `plain` without and `special` with control tokens parsed, and
`qwen2` under the tokenizer of the given file (without its NFC normaliser).
random.json: generated texts, each with the lengths in bytes of the words it is split into and its ids under
models/tokenizer.json.
ill_formed.json: byte strings (hex) and what Python decodes them to with errors="replace", which follows the Unicode
standard's maximal subparts.
Characters are limited to Unicode 14, the version of the oldest PCRE2 we build with; Hugging Face knows more.
"""
import json
import pathlib
import random
import sys
import unicodedata

import tokenizers

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent

CODE = {
    "python": "def fibonacci(n: int) -> int:\n    \"\"\"Return the n-th number.\"\"\"\n    a, b = 0, 1\n"
              "    for _ in range(n):\n        a, b = b, a + b\n    return a\n",
    "cpp": "#include <vector>\n\ntemplate <typename T>\nauto sum(const std::vector<T>& v) -> T {\n\tT s{};\n"
           "\tfor (auto&& x : v) s += x;  // fold\n\treturn s;\n}\n",
    "rust": "impl<'a> Iterator for Words<'a> {\n    type Item = &'a str;\n"
            "    fn next(&mut self) -> Option<Self::Item> { self.0.split_once(' ').map(|(w, _)| w) }\n}\n",
    "javascript": "const get = async (url) => (await fetch(`${url}?q=${encodeURIComponent('ä')}`)).json() ?? null;\n",
    "haskell": "quicksort (p:xs) = quicksort [x | x <- xs, x < p] ++ [p] ++ quicksort [x | x <- xs, x >= p]\n",
    "sql": "SELECT u.name, COUNT(*) AS n FROM users u LEFT JOIN orders o ON o.user_id = u.id "
           "WHERE u.created_at >= '2024-01-31' GROUP BY 1 HAVING n > 10;\n",
    "shell": "for f in *.txt; do\n\tgrep -c '^#' \"$f\" | awk '{ s += $1 } END { print s }' 2>/dev/null\ndone\n",
    "html": "<!doctype html>\r\n<p class=\"a&amp;b\">It&#39;s 5&nbsp;&lt;&nbsp;6</p>\r\n",
    "json": '{"a": [1, 2.5e-3, null, true], "\\u00e9": {"nested": "x\\ny"}}\n',
    "go": "func (s *Server) Serve(ctx context.Context) error {\n\tif err := s.l.Close(); err != nil {\n"
          "\t\treturn fmt.Errorf(\"close: %w\", err)\n\t}\n\treturn nil\n}\n",
    "apl": "life ← {⊃1 ⍵ ∨.∧ 3 4 = +/ +⌿ ¯1 0 1 ∘.⊖ ¯1 0 1 ⌽¨ ⊂⍵}\n",
}
SCRIPTS = {
    "german": "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich.",
    "french": "Dès Noël où un zéphyr haï me vêt de glaçons würmiens, je dîne d’exquis rôtis.",
    "polish": "Zażółć gęślą jaźń.",
    "turkish": "İstanbul'da ışık, ılık iğde ağacı; DİKKAT!",
    "greek": "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία.",
    "russian": "Съешь же ещё этих мягких французских булок, да выпей чаю.",
    "arabic": "نص حكيم له سر قاطع وذو شأن عظيم مكتوب على ثوب أخضر، ١٢٣٤",
    "hebrew": "דג סקרן שט בים מאוכזב ולפתע מצא חברה",
    "hindi": "ऋषियों को सताने वाले दुष्ट राक्षसों के राजा रावण का सर्वनाश १२३",
    "bengali": "আমার সোনার বাংলা, আমি তোমায় ভালোবাসি।",
    "tamil": "யாமறிந்த மொழிகளிலே தமிழ்மொழி போல் இனிதாவது எங்கும் காணோம்",
    "thai": "เป็นมนุษย์สุดประเสริฐเลิศคุณค่า ๑๒๓",
    "chinese": "天地玄黃,宇宙洪荒。日月盈昃,辰宿列張。一二三456",
    "japanese": "いろはにほへと ちりぬるを。ガギグゲゴ ﾊﾝｶｸ 「引用」",
    "korean": "키스의 고유조건은 입술끼리 만나야 하고 특별한 기술은 필요치 않다.",
    "georgian": "ვეპხის ტყაოსანი შოთა რუსთაველი",
    "armenian": "Բել դղյակի ձախ ժամն օֆ ազգությանը ցպահանջ չճշտած վնաս էր եւ փառք։",
    "amharic": "ሰማይ አይታረስ ንጉሥ አይከሰስ። ፩፪፫",
    "cherokee": "ᎠᏂᏴᏫᏯᎢ ᏣᎳᎩ",
    "gothic": "𐌼𐌰𐌲 𐌲𐌻𐌴𐍃 𐌹̈𐍄𐌰𐌽",
    "cuneiform": "𒀭𒈗𒆠 𒐕𒐖",
    "mixed": "abcабвαβγאבג漢字かなカナ한글123१२३",
}
OTHER = {
    "empty": "",
    "combining": "e\u0301 a\u0308\u0304 n\u0303o Z\u0351\u036b\u0343\u036ae\u0306\u030b \u0301lead o\u0302\u0323",
    "emoji": "🙂👍🏽 👨‍👩‍👧‍👦 🏳️‍🌈 🇩🇪🇫🇷 ❤️‍🔥 1️⃣#️⃣ 👩🏿‍🚀",
    "digits": "0 1 12 123 1234567890 3.14159 1,000,000 0xDEADbeef 1e-10 v2.0.1 ½ ² Ⅷ ⑩ ٣ 𝟘",
    "spaces": "a b  c   d    e\t\tf \t g  \n  h\n\n\n i \n",
    "leading": "      x",
    "trailing": "x      ",
    "only spaces": " " * 37,
    "only newlines": "\n" * 19,
    "tabs": "\t" * 23 + "x",
    "crlf": "one\r\ntwo\r\n\r\nthree\r\r\nfour \r\n five",
    "newline after symbols": "x;\n\ny!?\r\n\r\n  z{\n\n\n",
    "controls": "".join(map(chr, range(0, 33))) + "\x7f\x80\x85\x9f",
    "control bytes in words": "a\x00b\x01c\x1a\x1ad\x1be",
    "unicode spaces": "a\u00a0b\u1680c\u2000d\u2003\u2003e\u2009f\u200ag\u2028h\u2029i\u202fj\u205fk\u3000\u3000l",
    "space runs": " \u00a0 \u00a0x \u3000\u3000y\u0085\u0085z\u2028\u2028\nw",
    "not spaces": "a\u180eb \u180e c\u200bd\u200c\u200de\u2060f\ufeffg \ufeff",
    "contractions": "I'm you're he'd she'll we've it's don't I'M YOU'RE HE'D SHE'LL WE'VE IT'S DON'T I'Ll 'tis 'twas",
    "odd contractions": "a'ſx a'Sx 's't 'lla 're's ''s '' 'x it’s o'clock rock'n'roll x'ſ 'K 'ss",
    "punctuation": "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ ... --- === /* */ // <!-- --> «» „“ …",
    "math": "∀x∈ℝ: ⌈x⌉ = −⌊−x⌋, ∑ᵢ₌₁ⁿ i = n(n+1)/2 ≠ ∞ √2 ≈ 1.41421",
    "private": "\ue000\uf8ff\U000f0000 \ufffd \uffff\U0010ffff",
    "underscores": "snake_case_name __init__ _x CamelCase kebab-case SCREAMING_SNAKE",
    "url": "https://user:pw@example.org:8080/a/b.html?q=1&r=%20x#frag me@example.com",
    "chat": "<|im_start|>system\nYou help.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
    "specials in a row": "<|im_end|><|im_end|> <|endoftext|>\n<|fim_prefix|>a<|fim_suffix|>b<|fim_middle|>",
    "thinking": "<think>\nHmm.\n</think>\n\n<tool_call>\n{\"name\": \"f\"}\n</tool_call><tool_response></tool_response>",
    "almost special": "<|im_start| <|im_start|> <|im_star<|im_start|>|> <<|im_end|>> <think <THINK> < |im_end|> <|im_end",
    "special inside words": "a<|im_start|>b c<think>d 's<|im_end|>'s x <|im_end|> y\n<|im_end|>\n",
    "long line": " ".join(["the quick brown fox jumps over the lazy dog"] * 60),
    "long word": "pneumonoultramicroscopicsilicovolcanoconiosis" * 12,
    "one letter": "a" * 1000,
    "one digit": "7" * 300,
    "one symbol": "=" * 500 + "-" * 77,
    "long cjk": "深圳市" * 120,
    "alternating": "aB1 " * 90 + "_-" * 90,
}


def hugging_face(path):
    return tokenizers.Tokenizer.from_file(str(path))


def from_gguf(path, like):
    import gguf
    fields = gguf.GGUFReader(path).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    merges = [tuple(m.split(" ")) for m in fields["tokenizer.ggml.merges"].contents()]
    types = fields["tokenizer.ggml.token_type"].contents()
    model = tokenizers.models.BPE({t: i for i, t in enumerate(tokens)}, merges)
    made = tokenizers.Tokenizer(model)
    made.pre_tokenizer = like.pre_tokenizer
    made.add_special_tokens([t for t, kind in zip(tokens, types) if kind == 3])
    return made


def encode(tokenizer, text, parse_special):
    # Off: control spellings are text. Every added token of ours is a control token.
    tokenizer.encode_special_tokens = not parse_special
    return tokenizer.encode(text, add_special_tokens=False).ids


def word_lengths(tokenizer, text):
    words = tokenizer.pre_tokenizer.pre_tokenize_str(text)
    return [len(text[begin:end].encode()) for _, (begin, end) in words]


def random_texts(count, rng):
    assigned = [chr(c) for c in range(0x110000) if unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co")]
    by_kind = {kind: [c for c in assigned if unicodedata.category(c)[0] == kind] for kind in "LNMPSZC"}
    pieces = list(CODE.values()) + list(SCRIPTS.values())
    words = [w for p in pieces for w in p.split()]
    small = ["'s", "'T", "'re", "'VE", "'m", "'lL", "'d", "'", "\n", "\r\n", "\r", " ", "  ", "\t", "   ", "\u00a0",
             "\u3000", "\u0085", "\u2028", "0", "42", "é", "e\u0301", "ſ", "ß", "İ", "_", "::", "->", "//", "\x00"]
    ascii_printable = [chr(c) for c in range(32, 127)]
    sources = [
        lambda: rng.choice(words), lambda: rng.choice(small), lambda: rng.choice(small),
        lambda: rng.choice(ascii_printable), lambda: rng.choice(by_kind[rng.choice("LNMPSZC")]),
        lambda: rng.choice(ascii_printable[65:91]) * rng.randint(1, 9), lambda: " " * rng.randint(1, 9),
        lambda: "".join(rng.choice("abcdefghijklmnop") for _ in range(rng.randint(2, 12))),
    ]
    for i in range(count):
        chosen = rng.sample(sources, rng.randint(1, len(sources)))
        yield "".join(rng.choice(chosen)() for _ in range(rng.randint(1, 24 if i % 20 else 120)))


def ill_formed_bytes(count, rng):
    interesting = [0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xED, 0xEF, 0xF0,
                   0xF1, 0xF4, 0xF5, 0xFF]
    whole = ["é", "漢", "🙂", "x", "\U0010ffff", "\ud7ff", "\ue000"]
    for _ in range(count):
        yield b"".join(rng.choice(whole).encode() if rng.random() < 0.2 else bytes([rng.choice(interesting)])
                       for _ in range(rng.randint(1, 14)))


def write(name, head, rows):
    lines = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
    text = json.dumps(head)[:-1] + ', "cases": [\n' + lines + "\n]}\n"
    json.loads(text)
    (HERE / "data" / name).write_text(text)


def main():
    demo = hugging_face(ROOT / "models" / "tokenizer.json")
    qwen2 = from_gguf(sys.argv[1], demo) if len(sys.argv) > 1 else None
    head = {"reference": f"Hugging Face tokenizers {tokenizers.__version__}, models/tokenizer.json"}
    rows = []
    for name, text in {**CODE, **SCRIPTS, **OTHER}.items():
        row = {"name": name, "text": text, "plain": encode(demo, text, False), "special": encode(demo, text, True)}
        if qwen2:
            row["qwen2"] = encode(qwen2, text, False)
        rows.append(row)
    write("samples.json", head, rows)
    rng = random.Random(20240229)
    write("random.json", head,
          [[t, word_lengths(demo, t), encode(demo, t, False)] for t in random_texts(700, rng)])
    write("ill_formed.json", {"reference": "Python bytes.decode('utf-8', 'replace')"},
          [[b.hex(), b.decode("utf-8", "replace")] for b in ill_formed_bytes(300, rng)])


main()
