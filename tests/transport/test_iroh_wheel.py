"""
Without the wheel.
"""

from __future__ import annotations

import os
import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

PROGRAM = """
import sys
sys.modules["iroh"] = None  # as if it were not installed
import p2panda_tw
import p2panda_tw.transport.iroh
try:
    from p2panda_tw.transport.iroh import IrohTransport
except p2panda_tw.errors.ConfigurationError as error:
    print(error)
"""


class WithoutWheelTests(SynchronousTestCase):
    """
    iroh is an extra.
    """

    def test_sentence(self) -> None:
        """
        Everything else can be used without the iroh library; who asks for the transport learns how to get it.
        """
        result = subprocess.run(
            [sys.executable, "-c", PROGRAM.replace("import p2panda_tw\n", "import p2panda_tw.errors\n", 1)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(os.path.abspath(entry) for entry in sys.path)},
            capture_output=True,
            text=True,
            check=True,
        )
        self.assertIn("pip install 'p2panda-tw[iroh]'", result.stdout)
        self.assertEqual((len(result.stdout.splitlines()), result.stderr), (1, ""))

    def test_other_names(self) -> None:
        """
        A name that the package does not have is an ordinary mistake.
        """
        import p2panda_tw.transport.iroh

        with self.assertRaises(AttributeError):
            p2panda_tw.transport.iroh.IrohTransprot  # noqa: B018 # the mistake
