from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.endpoint.network import DEFAULT_NETWORK_ID, alpn, network_id_of


class NetworkTests(SynchronousTestCase):
    """
    Network ids and what is negotiated.
    """

    def test_default(self) -> None:
        """
        Without any setting a node is in the network of all p2panda nodes.
        """
        self.assertEqual(DEFAULT_NETWORK_ID.hex(), "f745f8f284789fe66264d6c84e284f5eae080c1b54c3f69f84f04fd0012b8476")
        self.assertEqual(network_id_of("p2panda"), DEFAULT_NETWORK_ID)

    def test_alpn(self) -> None:
        """
        What is negotiated depends on protocol and network, as Rust nodes compute it.
        """
        for protocol_id, network_id, expected in [
            (
                b"p2panda/log_sync/v1",
                DEFAULT_NETWORK_ID,
                "64fc91f9ab01b19d29bd8a040e4624be0b164fffd4f32dbfac635c039c5279a5",
            ),
            (
                b"p2panda/confidential_discovery/v1",
                b"\x01" * 32,
                "54233dd94a07e224945dd7c27eb6169e3fa3028e780d0242441d8bfe75fb7380",
            ),
        ]:
            self.assertEqual(alpn(protocol_id, network_id).hex(), expected)

    def test_length(self) -> None:
        """
        A network id of another length is a mistake of the caller.
        """
        self.assertRaises(ValueError, alpn, b"x", b"short")
