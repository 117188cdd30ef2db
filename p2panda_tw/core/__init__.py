"""
Values of p2panda: hashes, identities, topics, operations, logs and their encodings. Everything here is pure.
"""
