"""
The Rust programs that the interop tests talk to, built once into the user's cache.

The place is C{P2PANDA_TW_CACHE}, else the cache directory of the user (C{$XDG_CACHE_HOME/p2panda_tw}). Sources are copied
there, so that the lock file and what cargo remembers belong to the cache and not to a checkout that may be gone next time;
each version of the source gets a program of its own, so that checkouts do not build against each other.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Final, NoReturn

import platformdirs
from twisted.trial.unittest import SkipTest

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["CACHE_VARIABLE", "REQUIRE_VARIABLE", "reference_peer", "relay"]

CACHE_VARIABLE: Final = "P2PANDA_TW_CACHE"
"""
Environment variable with the directory of everything that is built.
"""

REQUIRE_VARIABLE: Final = "P2PANDA_REQUIRE_INTEROP"
"""
Environment variable: if set, a missing or failing cargo is an error and no reason to skip.
"""

RELAY_VERSION: Final = "1.4.1"
"""
The release of iroh inside the Python package and inside the Rust nodes.
"""

BUILD_TIME: Final = 2100.0
"""
Seconds after which a build counts as failed. Two slow cores take 12 minutes.
"""

SOURCE: Final = Path(__file__).with_name("peer")


def cache() -> Path:
    """
    @return: Where everything is built.
    """
    named = os.environ.get(CACHE_VARIABLE)
    return Path(named) if named else Path(platformdirs.user_cache_dir("p2panda_tw"))


@lru_cache(maxsize=1)
def reference_peer() -> str:
    """
    @return: The path of the program C{reference-peer}, built if this version of it was not built before.

    @raise SkipTest: It was not, and there is no cargo.
    """
    files = {found.relative_to(SOURCE): found.read_bytes() for found in sorted(SOURCE.rglob("*")) if _is_source(found)}
    version = sha256(repr(files).encode()).hexdigest()[:16]
    program = cache() / "bin" / _program(f"reference-peer-{version}")
    with _one_at_a_time():
        if not program.is_file():
            source = cache() / "reference-peer-source" / version
            for path, content in files.items():
                (source / path).parent.mkdir(parents=True, exist_ok=True)
                (source / path).write_bytes(content)
            _keep_versions(source)
            build = cache() / "reference-peer"
            _cargo("build", "--release", "--ignore-rust-version", "--target-dir", str(build), directory=source)
            program.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(build / "release" / _program("reference-peer"), program)
    return str(program)


def _is_source(path: Path) -> bool:
    return path.is_file() and path.suffix in (".rs", ".toml")


def _keep_versions(source: Path) -> None:
    """
    Take over what cargo chose for an earlier version, so that nothing but our own part is compiled again.
    """
    earlier = sorted(source.parent.glob("*/Cargo.lock"), key=lambda lock: lock.stat().st_mtime)
    if earlier and not (source / "Cargo.lock").is_file():
        shutil.copyfile(earlier[-1], source / "Cargo.lock")


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """
    Other test runs may want to build at the same moment.
    """
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / "building.lock").open("w") as lock:
        if fcntl is not None:
            fcntl.flock(lock, fcntl.LOCK_EX)  # until it is closed
        yield


@lru_cache(maxsize=1)
def relay() -> str:
    """
    @return: The path of the program C{iroh-relay}, built if it is not there.

    @raise SkipTest: There is no cargo.
    """
    root = cache() / f"iroh-relay-{RELAY_VERSION}"
    program = root / "bin" / _program("iroh-relay")
    with _one_at_a_time():
        if not program.is_file():
            build = cache() / "iroh-relay-build"
            arguments = ["--locked", "--debug", "--features", "server", "--ignore-rust-version", "--root", str(root)]
            named = ["iroh-relay", "--version", f"={RELAY_VERSION}"]
            _cargo("install", *named, *arguments, "--target-dir", str(build), directory=cache())
            shutil.rmtree(build, ignore_errors=True)
    return str(program)


def _program(name: str) -> str:
    return name + ".exe" if sys.platform == "win32" else name


def _cargo(*arguments: str, directory: Path) -> None:
    cargo = shutil.which("cargo")
    if cargo is None:
        _missing("The Rust nodes cannot be built: there is no cargo on the PATH.")
    directory.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [cargo, *arguments], cwd=directory, timeout=BUILD_TIME, check=False, capture_output=True, text=True
    )
    if done.returncode:
        _missing(f"cargo {arguments[0]} failed:\n{done.stderr[-2000:]}")


def _missing(reason: str) -> NoReturn:
    if os.environ.get(REQUIRE_VARIABLE):
        raise RuntimeError(reason)
    raise SkipTest(reason)
