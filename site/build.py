#!/usr/bin/env python3
"""Builds the documentation as a site in target/site/html, with mdBook, and checks every link in it.

The pages are README.md, docs/ and what docs/README.md links to. Its headings and tables are the
parts and chapters. A link to any other file of the repository becomes one to its public address."""

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "target/site"
INDEX = "docs/README.md"
# Pages outside of docs/, with their names in the site.
OUTSIDE = {
    "README.md": "index.md",
    INDEX: "pages.md",
    "ALGORITHM.md": "algorithm.md",
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "STYLE.md": "style.md",
    "SECURITY.md": "reporting.md",
    "CHANGELOG.md": "changelog.md",
    "examples/django-once/README.md": "django-once.md",
}
LINK = re.compile(r"(!?\[[^\]]*\]\()([^)\s]+)\)")


def cargo(key):
    text = (ROOT / "Cargo.toml").read_text(encoding="utf-8")
    return re.search(rf'^{key} = "(.*)"$', text, re.M).group(1)


def pages():
    """Each page's path in the repository, and its name in the site."""
    docs = {f"docs/{page.name}": page.name for page in (ROOT / "docs").glob("*.md")}
    return docs | OUTSIDE


def rewritten(path, text, names):
    """A page with its links as they are in the site."""

    def target(match):
        before, link = match.groups()
        if urlsplit(link).scheme or link.startswith("#"):
            return match.group(0)
        file, _, anchor = link.partition("#")
        anchor = anchor and "#" + anchor
        wanted = os.path.normpath(Path(path).parent / file)
        if wanted in names:
            return f"{before}{names[wanted]}{anchor})"
        if Path(wanted).suffix in (".png", ".svg"):
            shutil.copy(ROOT / wanted, SITE / "src")
            return f"{before}{Path(wanted).name})"
        if not (ROOT / wanted).exists():
            sys.exit(f"{path}: there is no {wanted}")
        return f"{before}{cargo('repository')}/blob/main/{wanted})"

    # Code is not text: a block stays as it is.
    parts = re.split(r"(?ms)(^ *```.*?^ *```)", text)
    return "".join(part if at % 2 else LINK.sub(target, part) for at, part in enumerate(parts))


def title(text):
    return re.search(r"^# (.*)$", text, re.M).group(1)


def summary(texts, names):
    """The parts and chapters, by the index."""
    lines = ["# Summary", "", "[bellwether](index.md)", "[Pages and glossary](pages.md)", ""]
    listed = {"README.md", INDEX}
    for line in texts[INDEX].splitlines():
        if line.startswith("## "):
            lines += ["", f"# {line[3:]}", ""]
        for _, link in LINK.findall(line) if line.startswith("| [") else []:
            path = os.path.normpath(Path("docs") / link)
            if path in names and path not in listed:
                listed.add(path)
                lines.append(f"- [{title(texts[path])}]({names[path]})")
    missing = set(names) - listed
    if missing:
        sys.exit(f"{INDEX} does not list {sorted(missing)}")
    # A part without a chapter is no part.
    made = re.sub(r"(?m)^# (?!Summary).*\n+(?=\n# |\Z)", "", "\n".join(lines) + "\n")
    return made


def prepare():
    shutil.rmtree(SITE, ignore_errors=True)
    (SITE / "src").mkdir(parents=True)
    shutil.copy(ROOT / "site/book.toml", SITE)
    names = pages()
    texts = {path: (ROOT / path).read_text(encoding="utf-8") for path in names}
    for path, name in names.items():
        made = rewritten(path, texts[path], names)
        (SITE / "src" / name).write_text(made, encoding="utf-8")
    (SITE / "src/SUMMARY.md").write_text(summary(texts, names), encoding="utf-8")


class Page(HTMLParser):
    """The links and anchors of a page."""

    def __init__(self, path):
        super().__init__()
        self.links, self.anchors = [], set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name in ("href", "src") and value:
                self.links.append(value)
            if name in ("id", "name") and value:
                self.anchors.add(value)


def check(folder):
    """What is wrong with the links of the pages in a folder."""
    found = {path.resolve(): Page(path) for path in folder.glob("*.html")}
    wrong, seen = [], 0
    for path, page in found.items():
        # It is shown at every address that does not exist.
        if path.name == "404.html":
            continue
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            seen += 1
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.exists():
                wrong.append(f"{path.name}: {link}: there is no such file")
            elif parts.fragment and target in found and unquote(parts.fragment) not in found[target].anchors:
                wrong.append(f"{path.name}: {link}: there is no such heading")
    if seen < 500:
        wrong.append(f"only {seen} links: the check reads the wrong files")
    return wrong, len(found), seen


def main():
    mdbook = ROOT / "target/tools/mdbook/bin/mdbook"
    if not mdbook.exists():
        sys.exit("mdbook is missing: run site/setup.sh")
    prepare()
    subprocess.run([mdbook, "build", SITE], check=True)
    wrong, count, seen = check(SITE / "html")
    if wrong:
        sys.exit("\n".join(wrong))
    print(f"{count} pages, {seen} links: {SITE / 'html/index.html'}")


if __name__ == "__main__":
    main()
