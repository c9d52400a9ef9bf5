"""The promises, checked on what both servers recorded: for the demo and for chaos."""
