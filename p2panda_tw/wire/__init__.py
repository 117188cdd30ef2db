"""
Bytes to plain values and back: CBOR, postcard and length-prefixed frames. Everything here is pure.
"""
