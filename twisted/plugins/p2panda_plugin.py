"""
Tells C{twistd} of the node.
"""

from twisted.application.service import ServiceMaker

p2panda = ServiceMaker(
    "p2panda", "p2panda_tw.tap", "A p2panda node: keeps topics and syncs them with others.", "p2panda"
)
