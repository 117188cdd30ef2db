"""
Local-first, peer-to-peer event delivery on Twisted, compatible on the wire with p2panda 0.7.1.
"""
