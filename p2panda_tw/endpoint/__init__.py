"""
Finding the way to a node: addresses, tickets, and the choice among transports.
"""
