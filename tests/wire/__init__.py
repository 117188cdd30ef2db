"""
Bytes to plain values and back.
"""
