# Deleted with its client, if deletion_protection is off: without the job its token expires within the hour, and whoever
# reads it should notice.
resource "aws_secretsmanager_secret" "token" {
  for_each = local.clients

  name        = "${var.name}/${each.key}/token"
  description = "The current access token, as an OAuth 2 token document. Written by the token job alone."
  # By its name: with null the provider changes nothing, and the secret keeps its previous key.
  kms_key_id              = var.kms_key_arn == "" ? "alias/aws/secretsmanager" : var.kms_key_arn
  recovery_window_in_days = 0
  # The tag is for checks.tf. The value tells a secret from the copies of it in other regions, which get its tags.
  tags = merge(var.tags, each.value.deletion_protection ? { (local.protection_tag) = local.region } : {})

  dynamic "replica" {
    for_each = each.value.replica_regions

    content {
      region     = replica.value.region
      kms_key_id = replica.value.kms_key_arn == "" ? null : replica.value.kms_key_arn
    }
  }
}

# You can restore it for thirty days after its client is removed: a person put the credentials there, and Telenor may not
# show them again. In that time the prefix lets a client of the same name have a new secret. It has no value until a
# person puts one: Terraform would keep a value from here in its state, and may not read the secret.
resource "aws_secretsmanager_secret" "credentials" {
  for_each = local.created_credentials

  name_prefix             = "${var.name}/${each.key}/credentials-"
  description             = "client_id and client_secret of the app, as JSON."
  kms_key_id              = var.kms_key_arn == "" ? "alias/aws/secretsmanager" : var.kms_key_arn
  recovery_window_in_days = 30
  tags                    = var.tags

  # A part of the secret, which stays with it: a resource of its own would be destroyed with the client, and a secret that
  # is restored would be open to everybody who may read secrets. One that exists keeps its owner's policy.
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "NobodyButTheJobReads"
      Effect    = "Deny"
      Principal = { AWS = "*" }
      Action    = "secretsmanager:GetSecretValue"
      Resource  = "*"
      Condition = { ArnNotEquals = { "aws:PrincipalArn" = aws_iam_role.function.arn } }
    }]
  })
}

# The policy was a resource of its own before it became a part of the secret.
removed {
  from = aws_secretsmanager_secret_policy.credentials

  lifecycle {
    destroy = false
  }
}

locals {
  # A whole account is a principal; its roles and users are a condition. IAM replaces a deleted role in a principal by an
  # id that the provider cannot read, and then every plan of every client fails.
  accounts_that_read = {
    for name, client in local.clients : name => [for arn in client.reader_principals : arn if endswith(arn, ":root")]
  }
  principals_that_read = {
    for name, client in local.clients : name => [for arn in client.reader_principals : arn if !endswith(arn, ":root")]
  }
}

resource "aws_secretsmanager_secret_policy" "token" {
  for_each = local.clients

  secret_arn          = aws_secretsmanager_secret.token[each.key].arn
  block_public_policy = true

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [for statement in [
      {
        Sid       = "NobodyButTheJobWrites"
        Effect    = "Deny"
        Principal = { AWS = "*" }
        Action    = ["secretsmanager:PutSecretValue", "secretsmanager:UpdateSecretVersionStage"]
        Resource  = "*"
        Condition = { ArnNotEquals = { "aws:PrincipalArn" = aws_iam_role.function.arn } }
      },
      # UpdateSecret writes a value too. Terraform calls it with the permissions of whoever applies.
      var.deployment_role_arn == "" ? null : {
        Sid       = "NobodyButTheDeploymentUpdates"
        Effect    = "Deny"
        Principal = { AWS = "*" }
        Action    = "secretsmanager:UpdateSecret"
        Resource  = "*"
        Condition = { ArnNotEquals = { "aws:PrincipalArn" = var.deployment_role_arn } }
      },
      # Also not this policy: Terraform deletes it before the secret.
      !each.value.deletion_protection ? null : {
        Sid       = "NobodyDeletes"
        Effect    = "Deny"
        Principal = { AWS = "*" }
        Action    = ["secretsmanager:DeleteSecret", "secretsmanager:DeleteResourcePolicy"]
        Resource  = "*"
      },
      length(local.accounts_that_read[each.key]) == 0 ? null : {
        Sid       = "NamedAccounts"
        Effect    = "Allow"
        Principal = { AWS = local.accounts_that_read[each.key] }
        Action    = ["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"]
        Resource  = "*"
      },
      length(local.principals_that_read[each.key]) == 0 ? null : {
        Sid       = "NamedReaders"
        Effect    = "Allow"
        Principal = { AWS = distinct([for arn in local.principals_that_read[each.key] : "${regex("^arn:[^:]+:iam::[0-9]+:", arn)}root"]) }
        Action    = ["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"]
        Resource  = "*"
        Condition = { ArnEquals = { "aws:PrincipalArn" = local.principals_that_read[each.key] } }
      },
    ] : statement if statement != null]
  })

  # Terraform destroys this policy first. While deletion_protection is on, AWS refuses that. Then everything listed here
  # stays, with all that it depends on, and the client's runs continue.
  depends_on = [
    aws_cloudwatch_dashboard.token,
    aws_cloudwatch_event_target.new_credentials,
    aws_cloudwatch_metric_alarm.client,
    aws_cloudwatch_metric_alarm.function,
    aws_cloudwatch_metric_alarm.revocations_pending,
    aws_cloudwatch_metric_alarm.token_expiry,
    aws_iam_policy.consumer,
    aws_iam_policy.operator,
    aws_lambda_permission.new_credentials,
    aws_scheduler_schedule.client,
    aws_sns_topic_subscription.alarms,
    aws_sns_topic_subscription.pager,
    aws_sqs_queue_policy.undelivered,
  ]
}
