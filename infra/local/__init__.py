"""What the handler stands on when it runs on one machine."""
