# -*- test-case-name: tests.cli.test_outcome -*-
"""
The exceptions of p2panda_tw. Each one tells who erred: our caller, the other node, the store, or the way to the other
node. Details sit in attributes, the message is a sentence for a person.

From received bytes only L{RemoteProtocolError} may rise; it ends that stream or session alone.
"""

from __future__ import annotations

__all__ = [
    "ConfigurationError",
    "ConnectError",
    "DecodeError",
    "LocalProtocolError",
    "LogNotConfirmed",
    "NoCommonProtocol",
    "NodeStopped",
    "P2pandaError",
    "RemoteProtocolError",
    "StoreError",
    "StoreFull",
    "StoreLocked",
    "WrongNode",
]


class P2pandaError(Exception):
    """
    Whatever this package raises on purpose.
    """


class LocalProtocolError(P2pandaError):
    """
    The caller asked for something that the protocol does not allow.
    """


class NodeStopped(LocalProtocolError):
    """
    The node was stopped before it could do what it was asked.
    """


class ConfigurationError(P2pandaError):
    """
    A setting is wrong. The message names the key and says what would be right.
    """


class RemoteProtocolError(P2pandaError):
    """
    The other node did what the protocol does not allow. The stream or session it happened on is closed.
    """


class DecodeError(RemoteProtocolError):
    """
    Received bytes are not what the format asks for.
    """


class StoreError(P2pandaError):
    """
    The store cannot do what it was asked: the file is damaged, foreign, newer than this program, or the disk failed.
    """


class StoreFull(StoreError):
    """
    There is no room left on the disk. Nothing was stored; the same call succeeds once there is room.
    """


class StoreLocked(StoreError):
    """
    Another process uses this data directory.
    """


class LogNotConfirmed(P2pandaError):
    """
    After a lost or restored store the own log could not be compared with another node's copy in time, so that
    publishing now might use a position a second time.
    """


class ConnectError(P2pandaError):
    """
    The other node could not be reached.
    """


class NoCommonProtocol(ConnectError):
    """
    The other node was reached, but does not speak this protocol in this network.
    """


class WrongNode(ConnectError):
    """
    Another node than the expected one answered at the address.
    """
