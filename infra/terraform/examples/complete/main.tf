# One client with everything that can be set: a key of your own, a fixed address, readers in another account, a copy of
# the token in another region, and alarms that reach two places.

terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 6.0"
    }
  }
}

provider "aws" {
  region = "eu-north-1"
}

module "telenor_token" {
  source = "../.."

  name          = "telenor-token"
  artifact_path = "${path.module}/../../../../build/telenor-token.zip"

  clients = {
    default = {
      credentials_secret_arn  = var.credentials_secret_arn
      credentials_kms_key_arn = var.credentials_kms_key_arn
      scope                   = "openid"
      grace_seconds           = 660
      reader_principals       = ["arn:aws:iam::999999999999:root"]
      replica_regions         = [{ region = "eu-west-1" }]
      deletion_protection     = true
    }
  }

  verify_url        = "https://api.telenor.no/hello"
  schedule_minutes  = 5
  grace_seconds     = 600
  renew_at_fraction = 0.33

  kms_key_arn              = var.kms_key_arn
  previous_kms_key_arns    = []
  deletion_protection      = true
  permissions_boundary_arn = "arn:aws:iam::123456789012:policy/boundary"
  deployment_role_arn      = "arn:aws:iam::123456789012:role/deploys"

  subnet_ids         = ["subnet-0a1b2c3d4e5f60718"]
  security_group_ids = ["sg-0a1b2c3d4e5f60718"]

  pager_topic_arn = "arn:aws:sns:eu-north-1:123456789012:pager"
  alarm_email     = "team@example.com"

  runbook_url = "https://wiki.example.com/telenor-token"
  dashboard   = true

  log_retention_days = 90
  architecture       = "arm64"
  tags               = { team = "mobile" }
}

variable "credentials_secret_arn" {
  description = "An existing secret with client_id and client_secret."
  type        = string
}

variable "credentials_kms_key_arn" {
  description = "The key of that secret."
  type        = string
}

variable "kms_key_arn" {
  description = "The key of the token secret."
  type        = string
}

output "consumer_policy_arn" {
  description = "Attach this to the roles of consumers."
  value       = module.telenor_token.clients["default"].consumer_policy_arn
}
