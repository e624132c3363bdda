#!/usr/bin/env python3
"""Writes unicode_classes.cpp and unicode_cases.cpp: what Python knows of the characters past ASCII (run with Python 3.11, Unicode 14).

Rows are {first, last, step}: of a set, the characters first, first + step, … last; of a mapping also the distance
from a character to its image. Characters whose image is several ones are listed one by one.
"""
import os
import unicodedata


def surrogate(c):
    return 0xD800 <= c < 0xE000


def rows(values):
    """Runs of equal values one or two characters apart, as [first, last, step, value]."""
    out = []
    for c in sorted(values):
        if out:
            first, last, step, value = out[-1]
            gap = c - last
            if value == values[c] and gap in (1, 2) and step in (0, gap):
                out[-1] = [first, c, gap, value]
                continue
        out.append([c, c, 0, values[c]])
    return out


def members(predicate):
    return rows({c: 0 for c in range(0x80, 0x110000) if predicate(c)})


def of_text(method):
    return lambda c: not surrogate(c) and method(chr(c))


def images(method):
    one, several = {}, []
    for c in range(0x80, 0x110000):
        if surrogate(c):
            continue
        image = method(chr(c))
        if len(image) > 1:
            several.append((c, image))
        elif ord(image) != c:
            one[c] = ord(image) - c
    return rows(one), several


def wrap(cells):
    lines, line = [], "   "
    for cell in cells:
        if len(line) + len(cell) + 2 > 110:
            lines.append(line)
            line = "   "
        line += " " + cell + ","
    return "\n".join(lines + [line])


def write(name, blocks):
    head = ["// Written by make_unicode_tables.py: the Unicode Character Database 14.0 as Python 3.11 reads it.",
            '#include "text/jinja/unicode_tables.h"', "", "namespace trine::jinja {", "// clang-format off"]
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), name)
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(head + blocks + ["", "// clang-format on", "}  // namespace trine::jinja", ""]))


def sets(predicates):
    blocks = []
    for name, predicate in predicates.items():
        cells = [f"{{{a:#x}, {b:#x}, {max(s, 1)}}}" for a, b, s, _ in members(predicate)]
        blocks += ["", f"static constexpr CharacterRow {name}_rows[] = {{", wrap(cells), "};",
                   f"const std::span<const CharacterRow> {name}_characters = {name}_rows;"]
    return blocks


def mappings(methods):
    blocks = []
    for name, method in methods.items():
        one, several = images(method)
        cells = [f"{{{a:#x}, {b:#x}, {max(s, 1)}, {d}}}" for a, b, s, d in one]
        blocks += ["", f"static constexpr ImageRow {name}_rows[] = {{", wrap(cells), "};",
                   f"const std::span<const ImageRow> {name}_images = {name}_rows;"]
        cells = ["{%#x, {%s}}" % (c, ", ".join(f"{ord(x):#x}" for x in image)) for c, image in several]
        blocks += [f"static constexpr ImagesRow {name}_several_rows[] = {{", wrap(cells), "};",
                   f"const std::span<const ImagesRow> {name}_several = {name}_several_rows;"]
    return blocks


def main():
    assert unicodedata.unidata_version == "14.0.0", unicodedata.unidata_version
    write("unicode_classes.cpp", sets({
        "unprintable": lambda c: surrogate(c) or not chr(c).isprintable(),
        "alphabetic": of_text(str.isalpha),
        "decimal": of_text(str.isdecimal),
        "digit": of_text(str.isdigit),
        "numeric": of_text(str.isnumeric),
    }))
    write("unicode_cases.cpp", sets({
        "lowercase": of_text(str.islower),
        "uppercase": of_text(str.isupper),
        "titlecase": of_text(lambda s: s.istitle() and not s.isupper()),
    }) + mappings({"upper": str.upper, "lower": str.lower, "title": str.title}))


if __name__ == "__main__":
    main()
