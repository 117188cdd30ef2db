"""
Live tests against running Rust p2panda 0.7.1 nodes, over iroh on this machine. See README.md beside this file.
"""
