"""
A process with a store, for tests that kill it or give it little room. It says on standard output what it was told is stored.

Its arguments are a data directory, what to do, and a limit on file sizes in bytes, or 0::

    ingest    take batches of a log as long as it lives; say its height after each
    publish   publish as long as it lives, with a FULL disk too; say each position, or C{full}
    hold      open the store and wait for the end of standard input
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from p2panda_tw.core.topic import Form
from p2panda_tw.errors import StoreFull
from p2panda_tw.store.service import Store
from tests.store.logs import NOW_US, OWN_KEY, TOPIC, Log

if TYPE_CHECKING:
    from tests.store.test_service import ThreadedClock

BATCH = 64


def say(what: object) -> None:
    """
    Tell the parent, at once.
    """
    os.write(1, f"{what}\n".encode())


def ingest(reactor: ThreadedClock, store: Store) -> None:
    """
    Take batches.
    """
    log = Log()
    while True:
        result = reactor.wait(store.ingest(TOPIC, log.extend(BATCH)))
        say(result.operations[-1].operation.seq_num)


def publish(reactor: ThreadedClock, store: Store) -> None:
    """
    Publish large bodies.
    """
    while True:
        try:
            say(reactor.wait(store.publish(TOPIC, b"x" * 50000)).operation.seq_num)
        except StoreFull:
            say("full")
            if sys.stdin.readline() == "":
                return
            _limit(1 << 30)


def _limit(size: int) -> None:
    import resource

    if size:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def main() -> None:
    """
    Do as told.
    """
    from tests.store.test_service import ThreadedClock

    directory, work, limit = sys.argv[1:]
    reactor = ThreadedClock()
    store = Store(reactor, os.path.join(directory, "p2panda.sqlite3"), OWN_KEY, clock_us=lambda: NOW_US)
    try:
        reactor.wait(store.open())
    except Exception as error:
        say(f"{type(error).__name__}: {error}")
        return
    reactor.wait(store.add_topic(TOPIC, Form.NODE))
    _limit(int(limit))
    if work == "hold":
        say("open")
        sys.stdin.read()
    else:
        {"ingest": ingest, "publish": publish}[work](reactor, store)
    reactor.wait(store.close())
    say("closed")


if __name__ == "__main__":
    main()
