"""What the handler stands on."""
