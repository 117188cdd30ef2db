"""
How threads get the reactor's attention.
"""

from __future__ import annotations

import threading

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from p2panda_tw.store.bell import Bell, eventfd_ends, socket_ends


@implementer(IReactorFDSet)
class Watcher:
    """
    A reactor that watches nothing by itself.
    """

    def __init__(self) -> None:
        self.readers: list[Bell] = []

    def addReader(self, reader: Bell) -> None:
        """
        Remember it.
        """
        self.readers.append(reader)

    def removeReader(self, reader: Bell) -> None:
        """
        Forget it.
        """
        self.readers.remove(reader)


class BellTests(SynchronousTestCase):
    """
    Calls from threads.
    """

    make_ends = staticmethod(eventfd_ends)

    def setUp(self) -> None:
        self.reactor = Watcher()
        self.bell = Bell(self.reactor, self.make_ends)  # type: ignore[arg-type]  # as much of a reactor as is used
        self.called: list[int] = []

    def test_order(self) -> None:
        """
        Calls of a thread are made by the reactor, in order.
        """
        verifyObject(IReadDescriptor, self.bell)

        def ring() -> None:
            for number in range(5):
                self.bell.ring(lambda number=number: self.called.append(number))

        thread = threading.Thread(target=ring)
        thread.start()
        thread.join()
        self.assertEqual(self.called, [])
        self.bell.doRead()
        self.assertEqual(self.called, [0, 1, 2, 3, 4])
        self.bell.close()
        self.assertEqual(self.reactor.readers, [])

    def test_next_turn(self) -> None:
        """
        Who rings while calls are made waits for the next turn, so that the reactor gets on with other things.
        """
        self.bell.ring(lambda: self.bell.ring(lambda: self.called.append(2)))
        self.bell.doRead()
        self.assertEqual(self.called, [])
        self.bell.doRead()
        self.assertEqual(self.called, [2])
        self.bell.close()

    def test_many(self) -> None:
        """
        However many ring before the reactor has time, nobody waits and no call is lost.
        """
        for number in range(100_000):
            self.bell.ring(lambda number=number: self.called.append(number))
        self.bell.doRead()
        self.assertEqual(self.called, list(range(100_000)))
        self.bell.close()

    def test_failure(self) -> None:
        """
        A call that fails is logged, and the others are made.
        """
        self.bell.ring(lambda: self.called.append(1 // 0))
        self.bell.ring(lambda: self.called.append(1))
        self.bell.doRead()
        self.assertEqual(self.called, [1])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.bell.close()

    def test_close(self) -> None:
        """
        What is still to be called is called at the end, also when a call itself is the end.
        """
        self.bell.ring(self.bell.close)
        self.bell.ring(lambda: self.called.append(1))
        self.bell.doRead()
        self.assertEqual(self.called, [1])
        self.bell.ring(lambda: self.called.append(2))
        self.assertEqual(self.called, [1])


class SocketBellTests(BellTests):
    """
    The same where there is no eventfd.
    """

    make_ends = staticmethod(socket_ends)
