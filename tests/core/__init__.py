"""
Values of p2panda.
"""
