# Three clients by one function. Adding a line adds a client, and leaves the others alone.

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

  artifact_path = "${path.module}/../../../../build/telenor-token.zip"
  alarm_email   = "team@example.com"

  clients = {
    shop    = {}
    support = { grace_seconds = 900 }
    billing = { scope = "invoices" }
  }
}

# A consumer: any role that reads the token of one client.
resource "aws_iam_role" "shop" {
  name = "shop"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy_attachment" "shop" {
  role       = aws_iam_role.shop.name
  policy_arn = module.telenor_token.clients["shop"].consumer_policy_arn
}

output "credentials" {
  description = "Put client_id and client_secret of each client here."
  value       = { for name, client in module.telenor_token.clients : name => client.credentials_secret_arn }
}

output "untold_alarms" {
  description = "A warning if alarms have no recipient."
  value       = module.telenor_token.untold_alarms
}
