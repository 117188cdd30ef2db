"""
The command line, without processes or sockets.
"""
