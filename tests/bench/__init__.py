"""
Tests of p2panda_tw.bench.
"""
