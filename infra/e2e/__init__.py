"""Proves the deployment without an AWS account."""
