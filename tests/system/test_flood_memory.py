"""
Memory that was needed for a moment, in a process that was prepared to run a node.
"""

from __future__ import annotations

import subprocess
import sys

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.system.support import LINUX_ONLY, environment

PROGRAM = """
import re, threading
from pathlib import Path
from p2panda_tw.process import prepare

def resident():
    return int(re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

def use():
    for _ in range(3):
        blocks = [bytes(size << 20) + b"x" for size in range(1, 17)]

prepare()
use_elsewhere = threading.Thread(target=use)
before = resident()
use_elsewhere.start()
use()
use_elsewhere.join()
print(resident() - before)
"""


class MemoryTests(SynchronousTestCase):
    """
    What was large for a moment does not stay so.
    """

    def test_returned(self) -> None:
        """
        Large blocks that are not used any more do not count as memory of the process.
        """
        if not sys.platform.startswith("linux"):
            raise SkipTest(LINUX_ONLY)
        ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment())
        self.assertEqual((ran.returncode, ran.stderr), (0, ""))
        self.assertLess(int(ran.stdout), 4096)
