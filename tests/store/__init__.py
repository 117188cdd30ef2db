"""
Tests of the store.
"""
