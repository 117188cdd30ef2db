"""
Log sync: catch up on the past of a topic with another node, then live.
"""
