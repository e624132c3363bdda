#!/usr/bin/env python3
"""Writes golden.json: what Jinja2 3.1, set up as Hugging Face does, makes of the templates in golden_cases.py.

    pip install jinja2==3.1.6 && python3 make_golden.py
"""
import json
import os

import golden_cases
import huggingface


def main():
    cases = []
    for source, variables in golden_cases.all_cases():
        kind, text = huggingface.render(source, variables)
        cases.append({"source": source, "variables": variables, kind: text})
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden.json")
    with open(path, "w", encoding="utf-8") as file:
        file.write("[\n")
        file.write(",\n".join(json.dumps(case, ensure_ascii=False) for case in cases))
        file.write("\n]\n")
    errors = sum("error" in case for case in cases)
    print(f"{len(cases)} cases, {errors} of them errors")


if __name__ == "__main__":
    main()
