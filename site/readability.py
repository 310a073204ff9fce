#!/usr/bin/env python3
"""The Flesch-Kincaid grade of each page: readability.py PAGE…

Only prose counts: no code blocks, tables, comments and link targets. Code in backticks counts as
one word of one syllable, a heading and a list item each as a sentence. textstat computes the grade."""

import re
import sys

import textstat


def prose(page):
    page = re.sub(r"(?ms)^ *```.*?^ *```", "", page)
    page = re.sub(r"(?s)<!--.*?-->", "", page)
    page = re.sub(r"(?m)^ *\|.*$", "", page)
    page = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", page)
    page = re.sub(r"`[^`]+`", "code", page)
    page = re.sub(r"https?://\S+", "link", page)
    page = re.sub(r"[*_#]+", "", page)
    # Each paragraph and each item ends a sentence.
    parts = re.split(r"\n\s*\n|\n\s*(?:[-*]|\d+\.) ", "\n" + page)
    parts = [" ".join(part.split()) for part in parts]
    return " ".join(part if part.endswith((".", "!", "?")) else part + "." for part in parts if part)


# What the README of LiteFS has by this count; that of uv has 9.7.
LIMIT = 6.2

# In fewer words, one long word decides.
FEWEST = 100

hard = 0
for page in sys.argv[1:]:
    with open(page, encoding="utf-8") as file:
        text = prose(file.read())
    grade, words = textstat.flesch_kincaid_grade(text), len(text.split())
    too_hard = grade > LIMIT and words >= FEWEST
    hard += too_hard
    print(f"{grade:5.1f}  {words:6} words  {page}{'  too hard' if too_hard else ''}")
sys.exit(1 if hard else 0)
