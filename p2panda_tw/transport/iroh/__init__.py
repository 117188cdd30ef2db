# -*- test-case-name: tests.transport.test_iroh_wheel -*-
"""
QUIC through the wheel C{iroh}: the way to Rust p2panda nodes, through NATs and over relays.

The wheel is an extra (C{pip install 'p2panda-tw[iroh]'}). This package can always be imported; what needs the wheel is
loaded when L{IrohTransport} is first asked for.

The wheel speaks asyncio, and only here. L{bridge<p2panda_tw.transport.iroh.bridge>} is the fence: one side of it is
the I{loop}, where coroutines of the wheel run, the other is the I{reactor}, where protocols run. With the asyncio
reactor both are the same thread and a crossing is a plain call; with any other reactor the loop has a thread of its
own. A method or class says on which side it lives, and touches the other side only through the bridge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from p2panda_tw.errors import ConfigurationError

if TYPE_CHECKING:
    from p2panda_tw.transport.iroh.transport import IrohTransport

__all__ = ["IrohTransport"]


def __getattr__(name: str) -> object:
    """
    Load the transport when it is first used.

    @raise ConfigurationError: The wheel is not installed, or does not run on this machine.
    """
    if name != "IrohTransport":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        import iroh  # noqa: F401
    except (ImportError, OSError) as error:  # OSError: its library cannot be loaded
        raise ConfigurationError(
            "Connections to Rust nodes need the iroh library, which is not usable here "
            f"({error}). Get it with: pip install 'p2panda-tw[iroh]'"
        ) from error
    from p2panda_tw.transport.iroh.transport import IrohTransport

    globals()[name] = IrohTransport
    return IrohTransport
