from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.core.identity import SigningKey
from p2panda_tw.endpoint.addresses import MAX_ADDRESSES, Address, OnionAddress, TlsAddress
from p2panda_tw.endpoint.known import MAX_NODES, WORTH_NOTING, KnownNode, KnownNodes

ALICE = SigningKey(bytes(32)).verifying_key
A, B, C, D = (TlsAddress("192.0.2.1", port) for port in range(1, 5))


class KnownNodesTests(SynchronousTestCase):
    """
    The table of known nodes.
    """

    def setUp(self) -> None:
        self.known = KnownNodes()

    def addresses(self) -> list[Address]:
        """
        What is known of Alice.
        """
        known = self.known.get(ALICE)
        return [] if known is None else list(known.addresses)

    def test_unknown(self) -> None:
        """
        Of a stranger nothing is known.
        """
        self.assertIsNone(self.known.get(ALICE))
        self.assertEqual(list(self.known), [])

    def test_given(self) -> None:
        """
        Addresses from tickets add up, the latest ticket first.
        """
        self.assertTrue(self.known.give(ALICE, [A, B]))
        self.assertTrue(self.known.give(ALICE, [C, A]))
        self.assertFalse(self.known.give(ALICE, [C, A]))
        self.assertEqual(self.addresses(), [C, A, B])
        self.assertEqual(list(self.known), [KnownNode(ALICE, (C, A, B), None)])

    def test_told(self) -> None:
        """
        What a node tells of itself replaces what it told before, and goes before what others say.
        """
        self.known.give(ALICE, [A])
        self.assertTrue(self.known.tell(ALICE, [B, C]))
        self.assertFalse(self.known.tell(ALICE, [B, C]))
        self.assertEqual(self.addresses(), [B, C, A])
        self.known.tell(ALICE, [D])
        self.assertEqual(self.addresses(), [D, A])

    def test_worked(self) -> None:
        """
        What worked last comes first.
        """
        self.known.give(ALICE, [A, B])
        self.assertTrue(self.known.succeeded(ALICE, B, 1_000))
        known = self.known.get(ALICE)
        self.assertEqual(known, KnownNode(ALICE, (B, A), 1_000))
        assert known is not None
        self.assertEqual(known.worked, B)

    def test_news(self) -> None:
        """
        A node that is reached every second is not written down every second.
        """
        self.known.give(ALICE, [A, B])
        self.assertTrue(self.known.succeeded(ALICE, A, 1_000))
        self.assertFalse(self.known.succeeded(ALICE, A, 2_000))
        self.assertTrue(self.known.succeeded(ALICE, B, 3_000))
        self.assertTrue(self.known.succeeded(ALICE, B, 3_000 + WORTH_NOTING))

    def test_restored(self) -> None:
        """
        After a restart it is still known what worked last; an older note does not replace a younger success.
        """
        self.known.give(ALICE, [B, A], 1_000)
        self.assertEqual(self.known.get(ALICE), KnownNode(ALICE, (B, A), 1_000))
        self.known.give(ALICE, [A], 500)
        self.assertEqual(self.known.get(ALICE), KnownNode(ALICE, (B, A), 1_000))

    def test_moved(self) -> None:
        """
        An address that the node no longer tells is forgotten although it worked; one that somebody gave is not.
        """
        self.known.tell(ALICE, [A])
        self.known.succeeded(ALICE, A, 1_000)
        self.known.tell(ALICE, [B])
        self.assertEqual(self.addresses(), [B])
        self.known.give(ALICE, [C])
        self.known.succeeded(ALICE, C, 2_000)
        self.known.tell(ALICE, [D])
        self.assertEqual(self.addresses(), [C, D])

    def test_success_of_stranger(self) -> None:
        """
        A node that was forgotten while it was being dialled is known again.
        """
        self.assertTrue(self.known.succeeded(ALICE, A, 1_000))
        self.assertEqual(self.addresses(), [A])

    def test_many_addresses(self) -> None:
        """
        However many addresses are given, a bounded number is kept, the latest.
        """
        for port in range(1, 500):
            self.known.give(ALICE, [OnionAddress(port)])
        self.assertEqual(len(self.addresses()), MAX_ADDRESSES)
        self.assertEqual(self.addresses()[0], OnionAddress(499))

    def test_many_nodes(self) -> None:
        """
        However many nodes tell of themselves, a bounded number is kept, and those from tickets stay.
        """
        self.known.give(ALICE, [A])
        nodes = [SigningKey(number.to_bytes(32, "big")).verifying_key for number in range(1, MAX_NODES + 1)]
        self.known.tell(nodes[0], [B])
        self.known.tell(nodes[1], [B])
        self.known.succeeded(nodes[0], B, 1)
        for node_id in nodes[2:]:
            self.known.tell(node_id, [B])
        self.assertEqual(len(self.known), MAX_NODES)
        self.assertIsNotNone(self.known.get(ALICE))
        self.assertIsNotNone(self.known.get(nodes[0]))
        self.assertIsNone(self.known.get(nodes[1]))
