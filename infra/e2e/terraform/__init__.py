"""Proves the Terraform module without an AWS account."""
