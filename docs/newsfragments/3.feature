A node that delivers: signed logs in a durable store, synchronised over TLS, as a Twisted service, as `twistd p2panda` and as the command `p2panda`.
