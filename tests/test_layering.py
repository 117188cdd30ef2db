"""
Which way imports point. The modules are read, not imported, so that a wrong import is found wherever it stands.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

import p2panda_tw

PACKAGE: Final = "p2panda_tw"

FEATURES: Final = ("store", "endpoint", "transport", "sync")
"""
Packages that know nothing of each other; C{node.py} joins them.
"""

PURE: Final = (
    "wire",
    "core",
    "codec",
    "errors",
    "toml_table",
    "store.gaps",
    "store.limits",
    "store.records",
    "store.ring",
    "store.verify",
    "sync.backoff",
    "sync.budget",
    "sync.effects",
    "sync.events",
    "sync.feed",
    "sync.gaps",
    "sync.healing",
    "sync.incoming",
    "sync.limits",
    "sync.live",
    "sync.log_sync",
    "sync.messages",
    "sync.operation_frames",
    "sync.pacing",
    "sync.progress",
    "sync.receiving",
    "sync.remote_heights",
    "sync.report",
    "sync.send_gate",
    "sync.session",
    "sync.state",
    "sync.topic_handshake",
    "endpoint.addresses",
    "endpoint.known",
    "endpoint.network",
    "endpoint.ranking",
    "endpoint.record",
    "endpoint.ticket",
    "transport.frames",
    "transport.limits",
    "transport.mux",
    "transport.mux_stream",
    "transport.pulse",
)
"""
Modules, and packages with all their modules, that compute and touch nothing.
"""

IMPURE: Final = (
    "asyncio",
    "iroh",
    "OpenSSL",
    "os",
    "secrets",
    "select",
    "socket",
    "sqlite3",
    "ssl",
    "subprocess",
    "threading",
    "time",
    "twisted",
)
"""
What a pure module does without. Of C{random} it may import the type C{Random}.
"""

OWNERS: Final = {
    "asyncio": ("transport.iroh", "cli", "tap", "bench"),
    "iroh": ("transport.iroh",),
    "sqlite3": ("store", "bench"),
}
"""
Libraries that only some packages import.
"""

OUTERMOST: Final = ("cli", "bench", "simulate", "tap", "testing")
"""
Who uses L{p2panda_tw.node.Node} as an application would. What else lies outside of packages is part of the node.
"""

GLOBAL_REACTOR: Final = ("cli", "bench", "tap")
"""
Who may import the reactor, inside functions.
"""

EXCEPTIONS: Final = {
    ("core.identity", "secrets"): "fresh identities come from the operating system",
    ("transport", "endpoint.addresses"): "addresses are plain values, and a transport dials them",
}
"""
What the rules above forbid and we allow, with the reason. A package stands for its modules.
"""


@dataclass(frozen=True)
class Import:
    """
    One import statement.

    @ivar importer: Module name without the package.
    @ivar imported: Full module name.
    @ivar names: What is taken from it, or nothing.
    @ivar typing_only: It stands under C{TYPE_CHECKING}.
    @ivar in_function: It runs when a function is called.
    """

    importer: str
    imported: str
    names: tuple[str, ...]
    line: int
    typing_only: bool
    in_function: bool

    @property
    def ours(self) -> str | None:
        """
        @return: The imported module without the package, if it is one of ours.
        """
        return self.imported.removeprefix(PACKAGE + ".") if self.imported.startswith(PACKAGE + ".") else None

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.imported} {', '.join(self.names)}".rstrip()


def modules() -> dict[str, Path]:
    """
    @return: Every module of the package, named without the package.
    """
    root = Path(p2panda_tw.__path__[0])
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_of(module: str, path: Path, known: dict[str, Path]) -> Iterator[Import]:
    """
    @return: The imports of one module, submodules named as such.
    """

    def visit(node: ast.AST, typing_only: bool, in_function: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            match child:
                case ast.Import(names=names):
                    for alias in names:
                        yield Import(module, alias.name, (), child.lineno, typing_only, in_function)
                case ast.ImportFrom(module=source, names=names, level=0) if source is not None:
                    for alias in names:
                        whole = f"{source}.{alias.name}"
                        if whole.removeprefix(PACKAGE + ".") in known:
                            yield Import(module, whole, (), child.lineno, typing_only, in_function)
                        else:
                            yield Import(module, source, (alias.name,), child.lineno, typing_only, in_function)
                case ast.ImportFrom():
                    raise AssertionError(f"{module}:{child.lineno} imports relatively")
                case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                    yield from visit(ast.Module(child.body, []), True, in_function)
                    yield from visit(ast.Module(child.orelse, []), typing_only, in_function)
                case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                    yield from visit(child, typing_only, True)
                case _:
                    yield from visit(child, typing_only, in_function)

    yield from visit(ast.parse(path.read_text("utf-8")), False, False)


def within(module: str, packages: tuple[str, ...]) -> bool:
    """
    @return: Whether C{module} is one of C{packages} or lies below one.
    """
    return any(module == package or module.startswith(package + ".") for package in packages)


def excepted(found: Import) -> bool:
    """
    @return: Whether L{EXCEPTIONS} allows this import.
    """
    target = found.ours or found.imported
    return any(within(found.importer, (who,)) and within(target, (what,)) for who, what in EXCEPTIONS)


def layer(module: str, impure: set[str]) -> int:
    """
    @param impure: Modules that import something of L{IMPURE}.

    @return: The height of a module. An arrow may go down or stay level.
    """
    first, _, rest = module.partition(".")
    if within(module, ("errors", "interfaces")):
        return 0
    if first == "wire":
        return 1
    if first == "core":
        return 2
    if first in FEATURES:
        if rest.rpartition(".")[2] == "service":
            return 5
        touching = module in impure or (first in ("store", "transport") and not within(module, PURE))
        return 4 if touching else 3
    return 7 if first in OUTERMOST else 6


class LayeringTests(SynchronousTestCase):
    """
    The package is built in layers.
    """

    def setUp(self) -> None:
        self.modules = modules()
        self.imports = [
            found for module, path in self.modules.items() for found in imports_of(module, path, self.modules)
        ]

        self.impure = {
            found.importer
            for found in self.imports
            if found.imported.partition(".")[0] in IMPURE and not found.typing_only
        }

    def assert_none(self, wrong: list[Import]) -> None:
        self.assertEqual([str(found) for found in wrong if not excepted(found)], [])

    def test_downwards(self) -> None:
        """
        A module can be understood with nothing but what lies below it.
        """
        self.assert_none(
            [
                found
                for found in self.imports
                if found.ours is not None
                and layer(found.ours, self.impure) > layer(found.importer, self.impure)
                and not (found.importer == "interfaces" and found.typing_only)
            ]
        )

    def test_features_apart(self) -> None:
        """
        Store, endpoint, transports and sync can be used and replaced one by one.
        """
        self.assert_none(
            [
                found
                for found in self.imports
                if found.ours is not None
                and (ours := found.importer.partition(".")[0]) in FEATURES
                and (theirs := found.ours.partition(".")[0]) in FEATURES
                and ours != theirs
            ]
        )

    def test_no_circles(self) -> None:
        """
        Every module can be imported first.
        """
        targets: dict[str, set[str]] = {module: set() for module in self.modules}
        for found in self.imports:
            if found.ours in self.modules and not found.typing_only and not found.in_function:
                targets[found.importer].add(found.ours)
        while free := [module for module, needed in targets.items() if not needed & targets.keys()]:
            for module in free:
                del targets[module]
        self.assertEqual(sorted(targets), [], "these import each other in a circle, or depend on one")

    def test_pure(self) -> None:
        """
        What the network means is computed without clock, socket, disk or chance, and can be replayed.
        """
        wrong = []
        for found in self.imports:
            if within(found.importer, PURE) and not found.typing_only:
                root = found.imported.partition(".")[0]
                if root in IMPURE or (root == "random" and found.names != ("Random",)):
                    wrong.append(found)
        self.assert_none(wrong)

    def test_owners(self) -> None:
        """
        asyncio and iroh stay behind the iroh transport, SQL behind the store.
        """
        self.assert_none(
            [
                found
                for found in self.imports
                if (root := found.imported.partition(".")[0]) in OWNERS and not within(found.importer, OWNERS[root])
            ]
        )

    def test_reactor_is_given(self) -> None:
        """
        The package runs on whatever reactor the application gives it.
        """
        self.assert_none(
            [
                found
                for found in self.imports
                if (found.imported == "twisted.internet.reactor" or found.names == ("reactor",))
                and not (within(found.importer, GLOBAL_REACTOR) and found.in_function)
            ]
        )

    def test_exceptions_are_used(self) -> None:
        """
        The list of exceptions holds nothing that is not needed any more.
        """
        for who, what in EXCEPTIONS:
            self.assertTrue(
                any(within(i.importer, (who,)) and within(i.ours or i.imported, (what,)) for i in self.imports),
                f"{who} does not import {what} (any more)",
            )
