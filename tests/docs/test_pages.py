"""
Links lead somewhere, and what pages show as an example is the file that is tested.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from tests.docs import ROOT, WHY_NOT, pages

LINK: Final = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
FENCED: Final = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
CODE: Final = re.compile(r"`[^`\n]*`")
EMBEDDED: Final = re.compile(r"<!-- (\S+) -->\n```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """
    @return: What the headings of a page can be linked by.
    """
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


class PageTests(SynchronousTestCase):
    """
    All pages.
    """

    skip = WHY_NOT

    def test_links(self) -> None:
        """
        Every link within the repository leads to a file, and to a heading in it where one is named.
        """
        broken = []
        for page in pages():
            for target in LINK.findall(CODE.sub("", FENCED.sub("", page.read_text("utf-8")))):
                if "://" in target:
                    continue
                path, _, anchor = target.partition("#")
                file = (page.parent / path).resolve() if path else page
                if not file.exists() or (anchor and anchor not in anchors(file)):
                    broken.append(f"{page.relative_to(ROOT)}: {target}")
        self.assertEqual(broken, [])

    def test_index_is_complete(self) -> None:
        """
        Every page can be found from the index.
        """
        index = (ROOT / "docs" / "index.md").read_text("utf-8")
        missing = [page.name for page in (ROOT / "docs").glob("*.md") if f"({page.name})" not in index]
        self.assertEqual(missing, ["index.md"])

    def test_examples_are_verbatim(self) -> None:
        """
        A program on a page is, character by character, the file whose name stands above it.
        """
        wrong = []
        for page in pages():
            for name, shown in EMBEDDED.findall(page.read_text("utf-8")):
                if not (ROOT / name).is_file() or (ROOT / name).read_text("utf-8") != shown:
                    wrong.append(f"{page.relative_to(ROOT)}: {name}; `.ci/embed` repairs it")
        self.assertEqual(wrong, [])

    def test_examples_are_shown(self) -> None:
        """
        Every example can be read on some page.
        """
        shown = {name for page in pages() for name, _ in EMBEDDED.findall(page.read_text("utf-8"))}
        examples = (ROOT / "docs" / "examples").rglob("*.*")
        names = [str(path.relative_to(ROOT)) for path in examples if path.suffix in (".py", ".rs", ".toml")]
        self.assertEqual([name for name in names if name not in shown], [])

    def test_settings_are_complete(self) -> None:
        """
        Every setting of the commented sample is explained on the page about configuration.
        """
        page = (ROOT / "docs" / "configuration.md").read_text("utf-8")
        section, missing = "", []
        for line in (ROOT / "tap" / "p2panda.toml").read_text("utf-8").splitlines():
            if found := re.fullmatch(r"(?:# )?(\[+\w+\]+)", line):
                section = found[1] + " "
            elif (found := re.match(r"(?:# )?(\w+) = ", line)) and f"`{section}{found[1]}`" not in page:
                missing.append(section + found[1])
        self.assertEqual(missing, [])

    def test_snippets_are_python(self) -> None:
        """
        Python that is shown only in part can at least be parsed.
        """
        wrong = []
        for page in pages():
            for snippet in re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL):
                try:
                    compile(snippet, str(page), "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
                except SyntaxError as error:
                    wrong.append(f"{page.relative_to(ROOT)}: {error}")
        self.assertEqual(wrong, [])
