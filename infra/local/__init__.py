"""Stand-ins for the servers and for Lambda, on this machine."""
