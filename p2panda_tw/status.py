# -*- test-case-name: tests.test_node -*-
"""
How a node is, in values that JSON can carry. There is no secret in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from p2panda_tw.endpoint.addresses import describe
from p2panda_tw.open_topic import must_confirm
from p2panda_tw.store.records import TopicRecord, TopicStats
from p2panda_tw.sync.state import PeerState

if TYPE_CHECKING:
    from p2panda_tw.core.topic import Topic
    from p2panda_tw.node import Node
    from p2panda_tw.store.service import Store

__all__ = ["describe_node"]


async def describe_node(node: Node) -> dict[str, Any]:
    """
    @return: Who the node is, where it may be reached, its topics and with whom they are synced, the size of its store.
    """
    stats = await node.store.stats()
    records = await node.store.topics()
    sizes = cast("dict[Topic, TopicStats]", stats.pop("topics"))  # the store says so
    return {
        "node_id": node.node_id.hex(),
        "network": node.config.describe_network(),
        "data_directory": str(node.config.data_directory),
        "addresses": [describe(address) for address in node.local_addresses()],
        "not_in_use": dict(node.problems()),
        "must_confirm_own_logs": await _waits(node.store, records),
        "topics": [
            _describe_topic(record, sizes.get(record.topic), node.peer_states(record.topic)) for record in records
        ],
        "store": stats,
    }


async def _waits(store: Store, records: Sequence[TopicRecord]) -> bool:
    """
    @return: Whether publishing has to wait after a lost store; before there is a topic that holds for any to be joined.
    """
    for record in records:
        if await must_confirm(store, record.topic):
            return True
    return store.must_confirm and not records


def _describe_topic(record: TopicRecord, size: TopicStats | None, peers: Sequence[PeerState]) -> dict[str, Any]:
    return {
        "name": record.name or repr(record.topic),
        "form": record.form.name.lower(),
        "left": record.is_left,
        "logs": size.logs if size else 0,
        "operations": size.operations if size else 0,
        "bytes": size.bytes if size else 0,
        "peers": [
            {
                "node_id": peer.node_id.hex(),
                "status": peer.status.value,
                "sessions": peer.sessions,
                "behind": peer.behind,
                "unconfirmed": peer.unconfirmed,
                "next_attempt_in_s": None if peer.next_attempt is None else round(peer.next_attempt, 1),
                "last_failure": peer.last_failure,
            }
            for peer in peers
        ],
    }
