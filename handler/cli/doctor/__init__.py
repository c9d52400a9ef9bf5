"""The command doctor: probes the real endpoint for what the API reference leaves open, and rates each guarantee."""
