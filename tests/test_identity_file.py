import os
import stat
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from p2panda_tw.core.identity import SigningKey
from p2panda_tw.errors import ConfigurationError
from p2panda_tw.identity_file import (
    create_identity,
    export_identity,
    forget_import,
    import_identity,
    is_imported,
    load_identity,
)

SEED = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
OTHER = "ff" * 32


class IdentityFileTests(SynchronousTestCase):
    """
    The identity in a data directory.
    """

    def setUp(self) -> None:
        self.directory = Path(self.mktemp()) / "inner"
        self.file = self.directory / "identity"

    def write(self, data: bytes, mode: int = 0o600) -> None:
        """
        Put something in place of an identity.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        self.file.write_bytes(data)
        self.file.chmod(mode)

    def message(self, error: ConfigurationError) -> str:
        """
        What a person reads, which is never a part of the secret.
        """
        self.assertNotIn(SEED[:8], str(error))
        return str(error)

    def names(self) -> list[str]:
        """
        What is in the data directory.
        """
        return sorted(path.name for path in self.directory.iterdir())

    def test_first_start(self) -> None:
        """
        The first start makes an identity, the next one finds it.
        """
        self.assertIsNone(load_identity(self.directory))
        made = create_identity(self.directory)
        found = load_identity(self.directory)
        assert found is not None
        self.assertEqual(found.seed, made.seed)
        self.assertEqual(self.names(), ["identity"])
        self.assertEqual(self.file.read_bytes(), made.seed.hex().encode() + b"\n")
        self.assertFalse(is_imported(self.directory))

    def test_private(self) -> None:
        """
        Nobody else can read the file, nor list the directory, whatever the umask says.
        """
        if os.name != "posix":
            raise SkipTest("file modes are POSIX")
        previous = os.umask(0)
        try:
            create_identity(self.directory)
        finally:
            os.umask(previous)
        self.assertEqual(stat.S_IMODE(self.file.stat().st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(self.directory.stat().st_mode), 0o700)

    def test_readable_by_others(self) -> None:
        """
        An identity that others can read is not used; the sentence has the command that helps.
        """
        if os.name != "posix":
            raise SkipTest("file modes are POSIX")
        for mode in [0o640, 0o604, 0o620, 0o666]:
            self.write(SEED.encode(), mode)
            error = self.assertRaises(ConfigurationError, load_identity, self.directory)
            self.assertIn(f"chmod 600 {self.file}", self.message(error))
        self.file.chmod(0o400)
        self.assertEqual(export_identity(self.directory), SEED)

    def test_damaged(self) -> None:
        """
        A damaged identity is named and left as it is; no new one takes its place.
        """
        for data in [b"", SEED[:-1].encode(), SEED.encode() * 2, b"\xff" * 64, SEED[:-1].encode() + b"g", b"0" * 9999]:
            self.write(data)
            error = self.assertRaises(ConfigurationError, load_identity, self.directory)
            self.assertIn("64 hex digits", self.message(error))
            self.assertEqual(self.file.read_bytes(), data)

    def test_no_second(self) -> None:
        """
        An identity is never replaced by a new one.
        """
        self.write(SEED.encode())
        self.assertRaises(ConfigurationError, create_identity, self.directory)
        self.assertEqual(export_identity(self.directory), SEED)
        self.assertEqual(self.names(), ["identity"])

    def test_unwritable(self) -> None:
        """
        A data directory that cannot be made ends in a sentence.
        """
        blocker = Path(self.mktemp())
        blocker.write_text("a file")
        error = self.assertRaises(ConfigurationError, create_identity, blocker / "inner")
        self.assertIn(str(blocker), str(error))
        self.assertRaises(ConfigurationError, import_identity, blocker / "inner", SEED)

    def test_export(self) -> None:
        """
        What is exported here can be imported there, and is marked there until confirmed.
        """
        self.assertRaises(ConfigurationError, export_identity, self.directory)
        here = create_identity(self.directory)
        there = Path(self.mktemp())
        self.assertEqual(import_identity(there, f" {export_identity(self.directory)}\n").seed, here.seed)
        self.assertEqual(export_identity(there), here.seed.hex())
        self.assertTrue(is_imported(there))
        forget_import(there)
        forget_import(there)
        self.assertFalse(is_imported(there))

    def test_import_over_another(self) -> None:
        """
        Another identity is replaced only by force; the sentence names the node that would be lost.
        """
        self.write(OTHER.encode())
        error = self.assertRaises(ConfigurationError, import_identity, self.directory, SEED)
        self.assertIn(SigningKey.from_hex(OTHER).verifying_key.hex(), self.message(error))
        self.assertEqual((export_identity(self.directory), is_imported(self.directory)), (OTHER, False))
        import_identity(self.directory, SEED, force=True)
        self.assertEqual((export_identity(self.directory), is_imported(self.directory)), (SEED, True))
        import_identity(self.directory, SEED)

    def test_import_over_damaged(self) -> None:
        """
        A damaged identity can be replaced by force.
        """
        self.write(b"garbage")
        self.assertRaises(ConfigurationError, import_identity, self.directory, SEED)
        import_identity(self.directory, SEED, force=True)
        self.assertEqual(export_identity(self.directory), SEED)

    def test_import_something_else(self) -> None:
        """
        Something else than an identity is refused, and nothing is changed.
        """
        for text in ["", SEED[:-2], SEED + "00", "x" * 64]:
            error = self.assertRaises(ConfigurationError, import_identity, self.directory, text, force=True)
            self.assertIn("64 hex digits", self.message(error))
        self.assertFalse(self.directory.exists())
