"""
Local-first, peer-to-peer event delivery on Twisted, compatible on the wire with p2panda 0.7.1.

The names below are what an application needs; each is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from p2panda_tw.codec import CBOR, TEXT, Codec
    from p2panda_tw.config import Config
    from p2panda_tw.core.identity import NodeId
    from p2panda_tw.core.operation import Operation
    from p2panda_tw.core.topic import Form, Topic
    from p2panda_tw.endpoint.ticket import Ticket
    from p2panda_tw.node import Node
    from p2panda_tw.stream import Stream
    from p2panda_tw.subscription import DecodeFailed, EventReader, Lagged, Message, Start, Subscription

__all__ = [
    "CBOR",
    "TEXT",
    "Codec",
    "Config",
    "DecodeFailed",
    "EventReader",
    "Form",
    "Lagged",
    "Message",
    "Node",
    "NodeId",
    "Operation",
    "Start",
    "Stream",
    "Subscription",
    "Ticket",
    "Topic",
]

_MODULES = {
    "CBOR": "codec",
    "TEXT": "codec",
    "Codec": "codec",
    "Config": "config",
    "DecodeFailed": "subscription",
    "EventReader": "subscription",
    "Form": "core.topic",
    "Lagged": "subscription",
    "Message": "subscription",
    "Node": "node",
    "NodeId": "core.identity",
    "Operation": "core.operation",
    "Start": "subscription",
    "Stream": "stream",
    "Subscription": "subscription",
    "Ticket": "endpoint.ticket",
    "Topic": "core.topic",
}


def __getattr__(name: str) -> object:
    """
    Load a public name.
    """
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    return value
