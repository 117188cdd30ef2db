Nodes meet over iroh too, so that a topic can be shared with Rust p2panda 0.7.1 nodes, behind NAT and through relays.
