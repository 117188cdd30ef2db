"""
Ways to reach a node id: memory, TLS, iroh.
"""
