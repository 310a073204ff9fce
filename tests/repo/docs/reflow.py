#!/usr/bin/env python3
"""Wraps the prose of Markdown pages at 100 columns: reflow.py PAGE…

A paragraph or list item without a long line stays as it is. Code, tables, headings and comments
are never touched, and code in backticks is never split."""

import re
import sys
import textwrap

WIDTH = 100
ITEM = re.compile(r"( *)([-*]|\d+\.) +")
# What Markdown reads as the beginning of something else.
BEGINS = re.compile(r"([-*+>#|]|\d+\.)(\s|$)")


def wrapped(lines):
    """One paragraph or list item, as lines."""
    if all(len(line) <= WIDTH for line in lines):
        return lines
    item = ITEM.match(lines[0])
    first = item.group(0) if item else re.match(" *", lines[0]).group(0)
    rest = " " * len(first)
    words = " ".join(line.strip() for line in lines)[len(first.strip()) :].strip()
    whole = re.sub(r"`[^`]+`", lambda code: code.group(0).replace(" ", "\0"), words)
    for width in range(WIDTH, WIDTH - 20, -1):
        made = textwrap.wrap(
            whole,
            width,
            initial_indent=first,
            subsequent_indent=rest,
            break_long_words=False,
            break_on_hyphens=False,
        )
        if not any(BEGINS.match(line.strip()) for line in made[1:]):
            break
    return [line.replace("\0", " ") for line in made]


def reflowed(text):
    made, paragraph, code = [], [], False

    def end():
        made.extend(wrapped(paragraph) if paragraph else [])
        paragraph.clear()

    for line in text.splitlines():
        fence = line.lstrip().startswith("```")
        if fence or code or not line.strip() or re.match(r"\s*(\||#|<|>)", line):
            end()
            made.append(line)
            code ^= fence
        else:
            if ITEM.match(line):
                end()
            paragraph.append(line)
    end()
    return "\n".join(made) + "\n"


for page in sys.argv[1:]:
    with open(page, encoding="utf-8") as file:
        text = file.read()
    if reflowed(text) != text:
        with open(page, "w", encoding="utf-8") as file:
            file.write(reflowed(text))
        print("reflowed:", page)
