#!/usr/bin/env python3
"""Writes golden.json: what Jinja2 3.1, set up as Hugging Face does, makes of the templates in golden_cases.py.

    pip install jinja2==3.1.6 && python3 make_golden.py
"""
import json
import os

import golden_cases
import huggingface


def main():
    cases, sets = [], []
    for source, variables in golden_cases.all_cases():
        kind, text = huggingface.render(source, variables)
        if variables not in sets:
            sets.append(variables)
        cases.append({"source": source, "variables": sets.index(variables), kind: text})
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden.json")
    with open(path, "w", encoding="utf-8") as file:
        for name, rows in ("variables", sets), ("cases", cases):
            file.write("{" if name == "variables" else ",\n")
            file.write(f'"{name}": [\n')
            file.write(",\n".join(json.dumps(row, ensure_ascii=False) for row in rows))
            file.write("\n]")
        file.write("}\n")
    errors = sum("error" in case for case in cases)
    print(f"{len(cases)} cases, {errors} of them errors")


if __name__ == "__main__":
    main()
