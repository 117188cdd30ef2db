from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.core.extensions import ForeignLog, NodeExtensions, check_form, decode_node_extensions
from p2panda_tw.core.hash import Hash
from p2panda_tw.core.header import Header, build_header
from p2panda_tw.core.header_error import HeaderError
from p2panda_tw.core.identity import SigningKey
from p2panda_tw.core.topic import Form, Topic
from p2panda_tw.errors import LocalProtocolError
from p2panda_tw.wire import cbor
from p2panda_tw.wire.cbor import Tag
from tests.properties import PROPERTIES

KEY = SigningKey(b"\1" * 32)
TOPIC = Topic(bytes(range(32)))
LOG_ID = TOPIC.log_id()
TIME = 1_700_000_000_000_000

items = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 2**65) | st.binary(max_size=3) | st.just(LOG_ID.raw),
    lambda inner: st.lists(inner, max_size=7) | st.builds(Tag, st.integers(4, 9), inner),
    max_leaves=8,
)


def header(extensions: bytes | None) -> Header:
    return build_header(KEY, body=b"body", seq_num=0, backlink=None, extensions=extensions)


class NodeExtensionsTests(SynchronousTestCase):
    """
    Extensions as the Node writes them.
    """

    def test_bytes(self) -> None:
        """
        They are laid out as in docs/operations.md, section 5.
        """
        start = "8501005820e528e95798037df410543d9f31e396ecdd458d71b157d6014398bae32fb56c65"
        self.assertEqual(NodeExtensions(LOG_ID, TIME, False).encode().hex(), start + "1b00060a24181e4000f4")
        self.assertEqual(NodeExtensions(LOG_ID, 0, True).encode().hex(), start + "00f5")

    @PROPERTIES
    @given(st.integers(0, 2**64 - 1) | st.integers(2**32 - 2, 2**32 + 2), st.booleans())
    def test_round_trip(self, timestamp: int, prune_flag: bool) -> None:
        """
        Any time and flag come back as they were.
        """
        extensions = NodeExtensions(LOG_ID, timestamp, prune_flag)
        self.assertEqual(decode_node_extensions(extensions.encode()), extensions)

    def test_time_too_large(self) -> None:
        """
        A time that does not fit is the caller's mistake.
        """
        for timestamp in (-1, 2**64):
            self.assertRaises(LocalProtocolError, NodeExtensions(LOG_ID, timestamp, False).encode)

    def test_more_elements(self) -> None:
        """
        What a later version appends is ignored.
        """
        item = cbor.encode([1, 0, LOG_ID.raw, TIME, True, "more", {}])
        self.assertEqual(decode_node_extensions(item), NodeExtensions(LOG_ID, TIME, True))

    def test_tags(self) -> None:
        """
        Tags inside are skipped, as Rust does.
        """
        item = cbor.encode(Tag(9, [Tag(1, 1), 0, Tag(1, Tag(5, LOG_ID.raw)), Tag(1, TIME), Tag(1, True)]))
        self.assertEqual(decode_node_extensions(item), NodeExtensions(LOG_ID, TIME, True))

    def test_causal(self) -> None:
        """
        The other variant that Rust knows is read, and never prunes.
        """
        for previous in ([], [LOG_ID.raw], [LOG_ID.raw] * 20):
            item = cbor.encode([1, 1, LOG_ID.raw, TIME, previous])
            self.assertEqual(decode_node_extensions(item), NodeExtensions(LOG_ID, TIME, False))

    def test_refused(self) -> None:
        """
        Anything else cannot be read.
        """
        raw = LOG_ID.raw
        wrong: tuple[object, ...] = (
            None,
            {},
            [],
            [1],
            [1, 0],
            [1, 0, raw],
            [1, 0, raw, TIME],
            [2, 0, raw, TIME, True],
            [1, 2, raw, TIME, True],
            [1, 0, raw[1:], TIME, True],
            [1, 0, raw, TIME, None],
            [1, 0, raw, TIME, 1],
            [1, 0, raw, -1, True],
            [1, 0, raw, 2**64, True],
            [1, 0, raw, 1.0, True],
            [1, 0, raw, TIME, 1.1920928955078125e-06],
            [1, 1, raw, TIME, True],
            [1, 1, raw, TIME, [raw[1:]]],
        )
        for value in wrong:
            error = self.assertRaises(HeaderError, decode_node_extensions, cbor.encode(value))
            self.assertEqual(error.kind, "DecodingExtensions")

    def test_half_float_is_no_flag(self) -> None:
        """
        A float whose bits look like the number of C{true} is no prune flag.
        """
        start = cbor.encode([1, 0, LOG_ID.raw, TIME, True])[:-1]
        for end in ("f90014", "f90015", "f900f4", "f8f5"):
            self.assertRaises(HeaderError, decode_node_extensions, start + bytes.fromhex(end))

    @PROPERTIES
    @given(items)
    def test_any_item(self, value: object) -> None:
        """
        Every item is extensions or refused.
        """
        try:
            extensions = decode_node_extensions(cbor.encode(value))
        except HeaderError:
            return
        self.assertEqual(extensions.log_id, LOG_ID)


class FormTests(SynchronousTestCase):
    """
    Does an operation belong into a topic?
    """

    def test_node(self) -> None:
        """
        In the Node form the extensions name the topic's log, and tell whether to prune.
        """
        for flag in (False, True):
            item = NodeExtensions(LOG_ID, TIME, flag).encode()
            self.assertEqual(check_form(header(item), Form.NODE, TOPIC), flag)

    def test_foreign(self) -> None:
        """
        An operation of another topic is refused without blaming whoever passed it on.
        """
        item = NodeExtensions(Hash.of(b"other"), TIME, True).encode()
        error = self.assertRaises(ForeignLog, check_form, header(item), Form.NODE, TOPIC)
        self.assertNotIsInstance(error, HeaderError)

    def test_chat(self) -> None:
        """
        In the chat form there are no extensions and nothing is pruned.
        """
        self.assertEqual(check_form(header(None), Form.CHAT, TOPIC), False)
        item = NodeExtensions(LOG_ID, TIME, False).encode()
        error = self.assertRaises(HeaderError, check_form, header(item), Form.CHAT, TOPIC)
        self.assertEqual(error.kind, "UnexpectedExtensions")

    def test_missing(self) -> None:
        """
        In the Node form extensions have to be there and readable.
        """
        error = self.assertRaises(HeaderError, check_form, header(None), Form.NODE, TOPIC)
        self.assertEqual(error.kind, "MissingExtensions")
        error = self.assertRaises(HeaderError, check_form, header(b"\xf6"), Form.NODE, TOPIC)
        self.assertEqual(error.kind, "DecodingExtensions")
