"""
Tests of p2panda_tw; the folders mirror the package.
"""
