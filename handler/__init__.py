"""Keep one Telenor access token fresh for everybody who needs it."""
