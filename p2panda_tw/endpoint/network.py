# -*- test-case-name: tests.endpoint.test_network -*-
"""
Networks that do not meet: a network id of 32 bytes goes into what nodes negotiate, so that nodes of two networks have
no protocol in common. It keeps networks apart but is no secret.
"""

from __future__ import annotations

from typing import Final

from p2panda_tw.core.hash import HASH_LENGTH, Hash

__all__ = ["DEFAULT_NETWORK_ID", "DEFAULT_NETWORK_NAME", "alpn", "network_id_of"]

DEFAULT_NETWORK_NAME: Final = "p2panda"
"""
The name whose hash upstream takes for its default network (p2panda/src/builder.rs).
"""


def network_id_of(name: str) -> bytes:
    """
    @return: The 32-byte network id that a plain name stands for, BLAKE3 of its UTF-8 bytes.
    """
    return Hash.of(name.encode("utf-8")).raw


DEFAULT_NETWORK_ID: Final = network_id_of(DEFAULT_NETWORK_NAME)
"""
The network of everybody who says nothing else.
"""


def alpn(protocol_id: bytes, network_id: bytes) -> bytes:
    """
    @param network_id: 32 bytes.

    @return: The 32 bytes that are negotiated for a protocol, BLAKE3 of protocol id followed by network id.
    """
    if len(network_id) != HASH_LENGTH:
        raise ValueError(f"A network id takes {HASH_LENGTH} bytes, not {len(network_id)}.")
    return Hash.of(protocol_id + network_id).raw
