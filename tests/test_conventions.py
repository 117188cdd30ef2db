"""
Small promises that no other tool checks.
"""

from __future__ import annotations

import ast
import configparser
import re
import sys
from pathlib import Path
from typing import Final

from twisted.trial.unittest import SkipTest, SynchronousTestCase

import p2panda_tw
import tests
from tests.docs import ROOT

LIBRARIES: Final = {"OpenSSL": "pyopenssl", "nacl": "pynacl", "zope": "zope.interface"}
"""
Under which names to ask for libraries that are imported under others.
"""


class ConventionTests(SynchronousTestCase):
    """
    Tests can be found and read; what exists is packaged.
    """

    maxDiff = None

    def test_tests_say_what_they_show(self) -> None:
        """
        Each test says in its docstring what a user may rely on.
        """
        silent = []
        for path in sorted(Path(tests.__path__[0]).rglob("test_*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                    if not ast.get_docstring(node):
                        silent.append(f"{path.name}:{node.lineno} {node.name}")
        self.assertEqual(silent, [])

    def test_modules_name_their_tests(self) -> None:
        """
        A module that names its tests names such that exist.
        """
        root = Path(tests.__path__[0]).parent
        wrong = []
        for path in sorted(Path(p2panda_tw.__path__[0]).rglob("*.py")):
            named = re.match(r"# -\*- test-case-name: (\S+) -\*-\n", path.read_text("utf-8"))
            for name in named[1].split(",") if named else []:
                target = root.joinpath(*name.split("."))
                if not target.is_dir() and not target.with_suffix(".py").is_file():
                    wrong.append(f"{path.name}: {name}")
        self.assertEqual(wrong, [])

    def test_no_doubles_by_patching(self) -> None:
        """
        Tests use real parts or documented doubles; they patch nothing and never sleep.
        """
        forbidden = re.compile(
            r"^\s*(?:from unittest import mock|import unittest\.mock|from unittest\.mock)|time\.sleep\(|self\.patch\("
        )
        wrong = [
            f"{path.name}:{number}"
            for path in sorted(Path(tests.__path__[0]).rglob("*.py"))
            for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
            if forbidden.search(line) and path != Path(__file__)
        ]
        self.assertEqual(wrong, [])

    def test_every_package_is_packaged(self) -> None:
        """
        What lies in the tree is in the list of packages, so that an installation has it all.
        """
        if not (ROOT / "setup.cfg").is_file():
            raise SkipTest("These tests need a checkout around them.")
        setup = configparser.ConfigParser(interpolation=None)
        setup.read(ROOT / "setup.cfg")
        listed = setup["options"]["packages"].split()
        packages = {
            ".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "p2panda_tw").rglob("__init__.py")
        }
        self.assertEqual(sorted(listed), sorted([*packages, "twisted.plugins"]))

    def test_every_library_is_asked_for(self) -> None:
        """
        An installation brings all libraries that are imported, and none that nothing needs.
        """
        if not (ROOT / "setup.cfg").is_file():
            raise SkipTest("These tests need a checkout around them.")
        setup = configparser.ConfigParser(interpolation=None)
        setup.read(ROOT / "setup.cfg")
        wanted = setup["options"]["install_requires"] + setup["options.extras_require"]["iroh"]
        named = {re.split(r"[^\w.-]", line)[0].lower() for line in wanted.split("\n") if line}
        imported = set()
        for path in (ROOT / "p2panda_tw").rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Import):
                    imported |= {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module is not None:
                    imported.add(node.module.partition(".")[0])
        libraries = imported - sys.stdlib_module_names - {"p2panda_tw"}
        self.assertEqual({LIBRARIES.get(library, library) for library in libraries}, named)
