locals {
  # Where the module is, by the ARN of its log and not by data sources. Terraform leaves data sources unknown while anything
  # that the module waits for has a change (`depends_on` on the module block), and whatever bears a name that is made of
  # an unknown region is replaced.
  here       = split(":", aws_cloudwatch_log_group.function.arn)
  partition  = local.here[1]
  region     = local.here[3]
  account_id = local.here[4]

  dns_suffixes = {
    aws-cn    = "amazonaws.com.cn"
    aws-eusc  = "amazonaws.eu"
    aws-iso   = "c2s.ic.gov"
    aws-iso-b = "sc2s.sgov.gov"
    aws-iso-e = "cloud.adc-e.uk"
    aws-iso-f = "csp.hci.ic.gov"
  }
  dns_suffix      = lookup(local.dns_suffixes, local.partition, "amazonaws.com")
  secrets_manager = "secretsmanager.${local.region}.${local.dns_suffix}"

  schedule_seconds = var.schedule_minutes * 60

  # Each client with every attribute. What is of another type than it should be counts as left out here: checks.tf
  # refuses it.
  clients = {
    for name, given in var.clients : name => {
      credentials_secret_arn  = try(tostring(coalesce(given.credentials_secret_arn)), "")
      credentials_kms_key_arn = try(tostring(coalesce(given.credentials_kms_key_arn)), "")
      scope                   = try(tostring(coalesce(given.scope)), "")
      token_parameters        = try(tostring(coalesce(given.token_parameters)), "")
      grace_seconds           = try(tonumber(given.grace_seconds), null)
      reader_principals       = try([for principal in given.reader_principals : tostring(principal)], [])
      replica_regions = try([
        for replica in given.replica_regions : {
          region      = tostring(replica.region)
          kms_key_arn = try(tostring(coalesce(replica.kms_key_arn)), "")
        }
      ], [])
      deletion_protection = try(coalesce(tobool(given.deletion_protection)), var.deletion_protection)
    }
  }

  created_credentials = { for name, client in local.clients : name => client if client.credentials_secret_arn == "" }

  credentials_arns = {
    for name, client in local.clients : name =>
    client.credentials_secret_arn == "" ? aws_secretsmanager_secret.credentials[name].arn : client.credentials_secret_arn
  }
  token_arns = { for name, secret in aws_secretsmanager_secret.token : name => secret.arn }

  grace_seconds = { for name, client in local.clients : name => coalesce(client.grace_seconds, var.grace_seconds) }

  # The event of each client's runs. The function's environment has what an event does not name.
  events = {
    for name, client in local.clients : name => {
      for field, value in {
        client                = name
        credentials_secret_id = local.credentials_arns[name]
        token_secret_id       = local.token_arns[name]
        scope                 = client.scope == "" ? null : client.scope
        token_parameters      = client.token_parameters == "" ? null : client.token_parameters
        grace_seconds         = client.grace_seconds
      } : field => value if value != null
    }
  }

  runbook = var.runbook_url == "" ? "docs/runbook.md" : var.runbook_url
}
