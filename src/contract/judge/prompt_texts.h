#pragma once

#include <cstdint>

namespace trine::contract {

// The texts of the built-in prompts: enough of each for 24 tokens of any vocabulary.
struct PromptText {
  const char* name;
  const char* text;
};

inline constexpr PromptText prompt_texts[] = {
    {"python",
     "def merge_sort(items: list[int]) -> list[int]:\n    if len(items) <= 1:\n        return items\n    "
     "middle = len(items) // 2\n"},
    {"c++",
     "template <typename T>\nT clamp(const T& value, const T& low, const T& high) {\n  return value < low ? "
     "low : high < value ? high : value;\n}\n"},
    {"rust",
     "impl<T: Ord> Tree<T> {\n    pub fn insert(&mut self, value: T) -> bool {\n        match &mut self.root "
     "{\n            None => true,\n"},
    {"javascript",
     "const response = await fetch(`/api/users/${id}`);\nif (!response.ok) {\n  throw new "
     "Error(response.statusText);\n}\n"},
    {"go",
     "func (s *Server) handle(w http.ResponseWriter, r *http.Request) {\n\tctx, cancel := "
     "context.WithTimeout(r.Context(), 5*time.Second)\n"},
    {"sql",
     "SELECT c.name, COUNT(*) AS orders\nFROM customers c JOIN orders o ON o.customer_id = c.id\nGROUP BY "
     "c.name HAVING COUNT(*) > 3;\n"},
    {"shell",
     "#!/usr/bin/env bash\nset -euo pipefail\nfor file in \"$@\"; do\n  printf '%s\\n' \"${file%.*}\"\n"
     "done\n"},
    {"json",
     "{\"id\": 42, \"tags\": [\"a\", \"b\"], \"nested\": {\"x\": -1.5e-3, \"ok\": true, \"none\": null}}\n"},
    {"prose",
     "The harbour was quiet that morning. A single boat moved between the moorings, and nobody on the quay "
     "looked up to see whose it was.\n"},
    {"german",
     "Am nächsten Morgen öffnete sie die Fenster, denn über Nacht war der Schnee geschmolzen und die Straße "
     "glänzte vor Nässe.\n"},
    {"russian",
     "Вечером они долго сидели на крыльце и слушали, как за рекой поют соловьи и шумит старая мельница.\n"},
    {"chinese", "请写一个函数，输入一个整数列表，返回其中所有偶数的平方和，并说明它的时间复杂度。\n"},
    {"japanese", "この関数は与えられた文字列を逆順にして返します。空の文字列にはそのまま空を返します。\n"},
    {"arabic", "تقرأ الدالة الملف سطرا سطرا ثم تحسب عدد الكلمات في كل سطر وتطبع النتيجة على الشاشة.\n"},
    {"digits",
     "3.14159265358979 2.71828182845904 1.41421356237309 1,000,000 0x7fff 1e-9 2026-11-23 12:34:56\n"},
    {"symbols",
     "🚀 → ∑ₙ αₙ·xⁿ ≤ ∫₀¹ f(t) dt ≠ ∅ … "
     "«quoted» ½ € ™ 👩‍💻 ✓ [[]] <> {} ~~ ||| \\\\ \t\t %%\n"},
    {"chat",
     "<|im_start|>user\nWrite a Python function that reverses a string.<|im_end|>\n<|im_start|>assistant\n"
     "Here is a function that reverses a string:\n"},
    {"chat with a system message",
     "<|im_start|>system\nYou are a careful programmer.<|im_end|>\n<|im_start|>user\nWho are you, and what "
     "can you do?<|im_end|>\n<|im_start|>assistant\n"},
};

// One that is longer than a KV page of 64 positions.
inline constexpr PromptText long_text = {
    "long",
    "import os\nimport sys\n\nclass Inventory:\n    \"\"\"Counts what is in stock, by name.\"\"\"\n\n    def "
    "__init__(self):\n        self.items = {}\n\n    def add(self, name, count=1):\n        if count < 0:\n"
    "            raise ValueError(\"count must not be negative\")\n        self.items[name] = "
    "self.items.get(name, 0) + count\n\n    def remove(self, name, count=1):\n        if "
    "self.items.get(name, 0) < count:\n            raise KeyError(name)\n        self.items[name] -= "
    "count\n"};

// The prompt that the first GPU contract fixed (785, 9217, 308), continued.
inline constexpr std::int32_t fixed_ids[] = {785, 9217,  308, 374,  264,  3974, 13876,
                                             916, 34208, 279, 5562, 2411, 1075, 13};

}  // namespace trine::contract
