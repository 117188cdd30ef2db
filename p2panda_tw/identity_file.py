# -*- test-case-name: tests.test_identity_file -*-
"""
The identity of a node on the disk: the file C{identity} in the data directory, with the 32-byte seed as hex digits and
a newline. Who reads it can speak as this node, so nobody but its owner may. It is written completely or not at all.

An identity that was brought from elsewhere may have published there what the store here does not have. A second file,
C{identity.imported}, says so until the node has compared its logs with another node's copy.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path
from typing import Final

from p2panda_tw.core.identity import SigningKey
from p2panda_tw.errors import ConfigurationError

__all__ = [
    "IDENTITY_FILE",
    "IMPORTED_FILE",
    "create_identity",
    "export_identity",
    "forget_import",
    "import_identity",
    "is_imported",
    "load_identity",
]

IDENTITY_FILE: Final = "identity"
"""
Name of the file with the seed.
"""

IMPORTED_FILE: Final = "identity.imported"
"""
Name of the empty file that marks an identity as brought from elsewhere.
"""

_MAX_LENGTH: Final = 1024
"""
So much of an identity file is looked at, in bytes; a right one has 65.
"""


def load_identity(directory: Path) -> SigningKey | None:
    """
    @return: The identity of this data directory, or C{None} if it has none yet.

    @raise ConfigurationError: Others can read it, it is damaged, or the disk says no.
    """
    path = directory / IDENTITY_FILE
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(_MAX_LENGTH)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(f"The identity {path} cannot be read: {error.strerror}.") from error
    if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
        raise ConfigurationError(
            f"The identity {path} can be read or changed by other users of this machine, so it is not used. "
            f"If nobody has done so yet, run: chmod 600 {path}"
        )
    try:
        return SigningKey.from_hex(data.decode("ascii").strip())
    except ValueError:
        # Not even a part of it is shown, and no chained error does.
        raise ConfigurationError(
            f"The identity {path} is damaged: it does not hold 64 hex digits. Put a copy of it there, "
            "or move it away to begin with a new identity."
        ) from None


def create_identity(directory: Path) -> SigningKey:
    """
    Make a new identity in a data directory, and the directory itself if need be.

    @raise ConfigurationError: There is one already, or the disk says no.
    """
    signing_key = SigningKey.generate()
    _write(directory, signing_key, replace=False)
    return signing_key


def export_identity(directory: Path) -> str:
    """
    @return: The seed as 64 hex digits. Secret; and used at two places at once it forks the node's logs for good.

    @raise ConfigurationError: There is none, or it cannot be used.
    """
    signing_key = load_identity(directory)
    if signing_key is None:
        raise ConfigurationError(f"There is no identity in {directory} yet.")
    return signing_key.seed.hex()


def import_identity(directory: Path, text: str, *, force: bool = False) -> SigningKey:
    """
    Put an identity from elsewhere into a data directory, marked as such.

    @param text: What L{export_identity} gave; white space around it does not matter.
    @param force: Replace another identity that is there. It is lost then.

    @raise ConfigurationError: The text is something else, there is another identity, or the disk says no.
    """
    try:
        signing_key = SigningKey.from_hex(text.strip())
    except ValueError:
        raise ConfigurationError("An identity is 64 hex digits, as `p2panda identity export` prints them.") from None
    if not force:
        present = load_identity(directory)
        if present is not None and present.seed != signing_key.seed:
            raise ConfigurationError(
                f"There is another identity in {directory}, of node {present.verifying_key}. It is not replaced "
                "without force; with force it is lost."
            )
    _mark(directory)  # first, so that a crash in between leaves no unmarked import
    _write(directory, signing_key, replace=True)
    return signing_key


def is_imported(directory: Path) -> bool:
    """
    @return: Whether the identity came from elsewhere and its logs were not confirmed since.
    """
    return (directory / IMPORTED_FILE).exists()


def forget_import(directory: Path) -> None:
    """
    The logs of an imported identity were confirmed: remove the mark, if there is one.
    """
    (directory / IMPORTED_FILE).unlink(missing_ok=True)
    _sync_directory(directory)


def _mark(directory: Path) -> None:
    """
    Leave the mark of an import.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        (directory / IMPORTED_FILE).touch(mode=0o600)
        _sync_directory(directory)
    except OSError as error:
        raise ConfigurationError(f"The data directory {directory} cannot be written: {error.strerror}.") from error


def _write(directory: Path, signing_key: SigningKey, *, replace: bool) -> None:
    """
    Write the file under another name, then give it its own, so that it is never seen half written.
    """
    path = directory / IDENTITY_FILE
    draft = directory / f"{IDENTITY_FILE}.{secrets.token_hex(4)}"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(f"{signing_key.seed.hex()}\n".encode("ascii"))
                file.flush()
                os.fsync(file.fileno())
            if replace:
                os.replace(draft, path)
            else:
                os.link(draft, path)  # unlike a rename this fails when the name is taken
        finally:
            draft.unlink(missing_ok=True)
        _sync_directory(directory)
    except FileExistsError as error:
        raise ConfigurationError(f"There is an identity at {path} already.") from error
    except OSError as error:
        raise ConfigurationError(f"The identity {path} cannot be written: {error.strerror}.") from error


def _sync_directory(directory: Path) -> None:
    """
    Have the names in a directory outlast a power failure, where the system can do that.
    """
    if os.name != "posix":
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
