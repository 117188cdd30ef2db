"""
Log sync: codecs, machines, the service.
"""
