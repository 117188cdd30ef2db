"""
Another implementation, small and separate, against ours.
"""
