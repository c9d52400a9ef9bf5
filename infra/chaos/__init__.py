"""The job under every fault at once, over real sockets, judged by what both servers have seen."""
