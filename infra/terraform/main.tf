data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

locals {
  account_id = data.aws_caller_identity.current.account_id
  partition  = data.aws_partition.current.partition
  # The attribute that version 5 and version 6 of the provider both have.
  region          = data.aws_region.current.id
  secrets_manager = "secretsmanager.${local.region}.${data.aws_partition.current.dns_suffix}"

  schedule_seconds = var.schedule_minutes * 60

  created_credentials = { for name, client in var.clients : name => client if client.credentials_secret_arn == "" }

  credentials_arns = {
    for name, client in var.clients : name =>
    client.credentials_secret_arn == "" ? aws_secretsmanager_secret.credentials[name].arn : client.credentials_secret_arn
  }
  token_arns = { for name, secret in aws_secretsmanager_secret.token : name => secret.arn }

  grace_seconds = { for name, client in var.clients : name => coalesce(client.grace_seconds, var.grace_seconds) }

  # The event of each client's runs. The function's environment has what an event does not name.
  events = {
    for name, client in var.clients : name => {
      for field, value in {
        client                = name
        credentials_secret_id = local.credentials_arns[name]
        token_secret_id       = local.token_arns[name]
        scope                 = client.scope == "" ? null : client.scope
        grace_seconds         = client.grace_seconds
      } : field => value if value != null
    }
  }
}
