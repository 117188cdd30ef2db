"""
The tree of exceptions: an application decides by it whom to blame.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw import errors


class ErrorTests(SynchronousTestCase):
    """
    One C{except} clause is enough for each question.
    """

    def test_root(self) -> None:
        """
        Whatever is raised on purpose can be caught as C{P2pandaError}, and carries its sentence.
        """
        for name in errors.__all__:
            kind = getattr(errors, name)
            self.assertTrue(issubclass(kind, errors.P2pandaError), name)
            self.assertEqual(str(kind("A sentence.")), "A sentence.")

    def test_who_erred(self) -> None:
        """
        The caller, the other node, the store and the way there are told apart, with the finer cases below them.
        """
        kinds = [
            errors.LocalProtocolError,
            errors.RemoteProtocolError,
            errors.StoreError,
            errors.ConnectError,
            errors.ConfigurationError,
        ]
        below = {
            kind.__name__: [
                name
                for name in errors.__all__
                if issubclass(getattr(errors, name), kind) and getattr(errors, name) is not kind
            ]
            for kind in kinds
        }
        self.assertEqual(
            below,
            {
                "LocalProtocolError": ["NodeStopped"],
                "RemoteProtocolError": ["DecodeError"],
                "StoreError": ["StoreFull", "StoreLocked"],
                "ConnectError": ["NoCommonProtocol", "WrongNode"],
                "ConfigurationError": [],
            },
        )
