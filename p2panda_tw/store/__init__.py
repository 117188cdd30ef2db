"""
The durable store of logs: one SQLite file, one writing thread.
"""
