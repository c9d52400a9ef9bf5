"""The job under every fault at once, over real sockets, checked by what both servers recorded."""
