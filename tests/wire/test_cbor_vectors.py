"""
Our CBOR beside that of the Rust crates, at the byte layer.

Rust decodes into a type. Where the bytes are fine and only do not fit that type, our byte layer takes them: it is for the
reader of a message to say what it wanted. Such refusals are told by their text, all others are about bytes.
"""

from __future__ import annotations

from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.wire import cbor
from tests.vectors import Case, check_complete, check_each, load, of_kind

CASES: Final[dict[str | None, int]] = {"encode": 97, "decode": 150, "depth": 3}

BYTE_ERRORS: Final = {
    "an error occurred while reading bytes: non-deterministic CBOR encoding": "NonDeterministic",
    "an error occurred while reading bytes: unexpected end of input": "UnexpectedEof",
    "an error occurred while reading bytes: invalid UTF-8 in text string": "InvalidUtf8",
    "nesting exceeds recursion limit": "NestingTooDeep",
}
"""
What Rust says of bytes that are not strict CBOR, and the kind of our error.
"""

TYPE_ERRORS: Final = (
    "expected ",
    "incompatible CBOR type ",
    "integer overflow",
    "invalid CBOR simple value",
    "invalid hash length ",
    "invalid length ",
    "invalid type: ",
    "missing field ",
    "negative value for unsigned type",
    "empty string for char",
    "string contains more than one char",
    "unknown variant ",
)
"""
How Rust's texts begin when strict CBOR does not fit a Rust type.
"""


def verdict(data: bytes) -> str:
    """
    @return: C{"ok"}, or the kind of our error. What is accepted is encoded again to the same bytes.
    """
    try:
        end = cbor.check_item(data)
    except cbor.CborError as error:
        kind = error.kind
        try:
            cbor.decode(data)
        except cbor.CborError as again:
            assert again.kind == kind
            return kind
        raise AssertionError("decode accepts what check_item refuses") from error
    assert cbor.encode(cbor.decode(data)) == data[:end]
    return "ok"


def expected(case: Case) -> str:
    """
    @return: What L{verdict} has to say.
    """
    if case["verdict"]["accept"]:
        return "ok"
    error = case["verdict"]["error"]
    if error in BYTE_ERRORS:
        return BYTE_ERRORS[error]
    assert error.startswith(TYPE_ERRORS), f"neither about bytes nor about types: {error}"
    return "ok"


class CborVectorTests(SynchronousTestCase):
    """
    Each case of C{cbor.json}.
    """

    def test_complete(self) -> None:
        """
        Every case is looked at by one of the other tests.
        """
        check_complete(self, load("cbor"), CASES, {})

    def test_encode(self) -> None:
        """
        What Rust writes is read as a value, and the value is written as the same bytes.
        """

        def check(case: Case) -> None:
            data = bytes.fromhex(case["bytes"])
            assert cbor.check_item(data) == len(data), "bytes are left"
            assert cbor.encode(cbor.decode(data)) == data, cbor.decode(data)

        check_each(self, of_kind("cbor", "encode"), check)

    def test_decode(self) -> None:
        """
        Bytes are accepted or refused for the same reason as by Rust.
        """

        def check(case: Case) -> None:
            found, wanted = verdict(bytes.fromhex(case["bytes"])), expected(case)
            assert found == wanted, f"{found}, not {wanted}"

        check_each(self, of_kind("cbor", "decode"), check)

    def test_depth(self) -> None:
        """
        Nesting ends where it ends for Rust.
        """

        def check(case: Case) -> None:
            found, wanted = verdict(bytes.fromhex(case["bytes"])), expected(case)
            assert found == wanted, f"{found}, not {wanted}"

        check_each(self, of_kind("cbor", "depth"), check)
