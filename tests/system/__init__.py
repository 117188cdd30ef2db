"""
Real processes, real sockets, the real clock.
"""
