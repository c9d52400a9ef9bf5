# Goes with its client: without the job its token is dead within the hour, and whoever reads it should notice.
resource "aws_secretsmanager_secret" "token" {
  for_each = var.clients

  name                    = "${var.name}/${each.key}/token"
  description             = "The current Telenor access token, as an OAuth 2 token document. Written by the token job alone."
  kms_key_id              = var.kms_key_arn == "" ? null : var.kms_key_arn
  recovery_window_in_days = 0
  tags                    = var.tags

  dynamic "replica" {
    for_each = each.value.replica_regions

    content {
      region     = replica.value.region
      kms_key_id = replica.value.kms_key_arn == "" ? null : replica.value.kms_key_arn
    }
  }

  lifecycle {
    precondition {
      condition     = !contains(each.value.replica_regions[*].region, local.region)
      error_message = "clients: ${each.key} has a replica in ${local.region}, where the secret itself is. Leave that region out."
    }
  }
}

# You can restore it for thirty days after its client has gone: a person has put the credentials there, and Telenor may
# not show them twice. In that time the prefix lets a client of the same name have a new secret. It has no value until a
# person puts one: Terraform would keep a value from here in its state, and may not read the secret.
resource "aws_secretsmanager_secret" "credentials" {
  for_each = local.created_credentials

  name_prefix             = "${var.name}/${each.key}/credentials-"
  description             = "client_id and client_secret of the app in Telenor's developer dashboard, as JSON."
  kms_key_id              = var.kms_key_arn == "" ? null : var.kms_key_arn
  recovery_window_in_days = 30
  tags                    = var.tags
}

resource "aws_secretsmanager_secret_policy" "token" {
  for_each = var.clients

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
      # It writes a value as PutSecretValue does. Terraform calls it with the rights of whoever applies.
      var.deployment_role_arn == "" ? null : {
        Sid       = "NobodyButTheDeploymentUpdates"
        Effect    = "Deny"
        Principal = { AWS = "*" }
        Action    = "secretsmanager:UpdateSecret"
        Resource  = "*"
        Condition = { ArnNotEquals = { "aws:PrincipalArn" = var.deployment_role_arn } }
      },
      length(each.value.reader_principals) == 0 ? null : {
        Sid       = "NamedReaders"
        Effect    = "Allow"
        Principal = { AWS = each.value.reader_principals }
        Action    = ["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"]
        Resource  = "*"
      },
    ] : statement if statement != null]
  })
}

# One that exists keeps its owner's policy.
resource "aws_secretsmanager_secret_policy" "credentials" {
  for_each = local.created_credentials

  secret_arn          = aws_secretsmanager_secret.credentials[each.key].arn
  block_public_policy = true

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
