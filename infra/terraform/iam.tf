# The permissions of the job.

locals {
  # The length of the lists of both kinds of secrets in a policy, before any secret exists: Secrets Manager adds seven
  # characters to a name, and the provider 26 to a prefix. By the region only, since nothing else is known at that time.
  longest_partition = one(regex("^(us-gov-|cn-)?", data.aws_region.current.name)) == null ? "aws" : "aws-us-gov"
  secret_arn_prefix = "arn:${local.longest_partition}:secretsmanager:${data.aws_region.current.name}:123456789012:secret:${var.name}"
  characters = {
    tokens = sum([for name in keys(local.clients) : length("'${local.secret_arn_prefix}/${name}/token-123456',")])
    credentials = sum(concat(
      [for name, client in local.clients :
        client.credentials_secret_arn == "" ? length("'${local.secret_arn_prefix}/${name}/credentials--123456',") + 26 : length(client.credentials_secret_arn) + 3
      ],
      [for arn in concat(local.credentials_key_arns, var.previous_kms_key_arns, distinct(local.replicas_with_key[*].kms_key_arn)) : length(arn) + 3],
    ))
  }

  credentials_key_arns = distinct([for client in values(local.clients) : client.credentials_kms_key_arn if client.credentials_kms_key_arn != ""])
  replicas_with_key    = [for replica in flatten(values(local.clients)[*].replica_regions) : replica if replica.kms_key_arn != ""]
}

resource "aws_iam_role" "function" {
  name                 = "${var.name}-${local.region}-function"
  description          = "The permissions of the token job, and no more."
  permissions_boundary = var.permissions_boundary_arn == "" ? null : var.permissions_boundary_arn
  tags                 = var.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "lambda.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })

  lifecycle {
    # Without this a deleted log group, whose ARN is then unknown, would replace everything that has the region in its
    # name; so likewise below.
    ignore_changes = [name]

    # AWS, "IAM and AWS STS quotas": 6,144 characters in a managed policy, and 10,240 in all of a role's own. What
    # else is in them has at most 1,100 in the one and 2,700 in the other.
    precondition {
      condition     = local.characters.tokens <= 5000 && local.characters.credentials <= 7500
      error_message = "clients: the secrets of ${length(local.clients)} clients are more than IAM's policies hold (the tokens' ARNs ${local.characters.tokens} of 5000 characters, those of the credentials and of keys ${local.characters.credentials} of 7500). Use the module twice, under two names, with some of the clients each."
    }
  }
}

# The statements that list every token are policies of their own: a role's own policies have room for some thirty clients.
resource "aws_iam_policy" "function" {
  for_each = {
    token = {
      Sid    = "ReadAndPublishTheToken"
      Effect = "Allow"
      Action = [
        "secretsmanager:DescribeSecret",
        "secretsmanager:GetSecretValue",
        "secretsmanager:ListSecretVersionIds",
        "secretsmanager:PutSecretValue",
      ]
      Resource = values(local.token_arns)
    }
    ledger = {
      Sid      = "KeepTheLedger"
      Effect   = "Allow"
      Action   = "secretsmanager:UpdateSecretVersionStage"
      Resource = values(local.token_arns)
      # A call can carry several labels: AWS compares them with a set operator.
      Condition = { "ForAnyValue:StringLike" = { "secretsmanager:VersionStage" = "LIVE_*" } }
    }
  }

  name        = "${var.name}-${local.region}-function-${each.key}"
  description = "For the function ${var.name} alone."
  tags        = var.tags
  policy      = jsonencode({ Version = "2012-10-17", Statement = [each.value] })

  lifecycle {
    ignore_changes = [name]
  }
}

resource "aws_iam_role_policy_attachment" "function" {
  for_each = aws_iam_policy.function

  role       = aws_iam_role.function.name
  policy_arn = each.value.arn
}

resource "aws_iam_role_policy" "function" {
  name = "token-job"
  role = aws_iam_role.function.name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [for statement in [
      {
        Sid      = "ReadTheCredentials"
        Effect   = "Allow"
        Action   = "secretsmanager:GetSecretValue"
        Resource = values(local.credentials_arns)
      },
      # Otherwise whoever may pass roles could run another function, with other code, in this role. AWS, "Using source
      # function ARN to control function access behavior"
      {
        Sid       = "ForThisFunctionAlone"
        Effect    = "Deny"
        Action    = "secretsmanager:*"
        Resource  = "*"
        Condition = { ArnNotEquals = { "lambda:SourceFunctionArn" = local.function_arn } }
      },
      {
        Sid      = "WriteItsLog"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = "${aws_cloudwatch_log_group.function.arn}:*"
      },
      {
        Sid      = "SendTraces"
        Effect   = "Allow"
        Action   = ["xray:PutTraceSegments", "xray:PutTelemetryRecords"]
        Resource = "*"
      },
      var.kms_key_arn == "" ? null : {
        Sid       = "UseTheKeyForTheSecrets"
        Effect    = "Allow"
        Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource  = var.kms_key_arn
        Condition = { StringEquals = { "kms:ViaService" = local.secrets_manager } }
      },
      # For versions that remain under a removed key: AWS re-encrypts only versions with its own labels. While a key
      # changes, the secret may have it before this policy does.
      length(var.previous_kms_key_arns) == 0 ? null : {
        Sid       = "DecryptWithPreviousKeys"
        Effect    = "Allow"
        Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource  = var.previous_kms_key_arns
        Condition = { StringEquals = { "kms:ViaService" = local.secrets_manager } }
      },
      length(local.credentials_key_arns) == 0 ? null : {
        Sid       = "UseTheKeyOfTheCredentials"
        Effect    = "Allow"
        Action    = "kms:Decrypt"
        Resource  = local.credentials_key_arns
        Condition = { StringEquals = { "kms:ViaService" = local.secrets_manager } }
      },
      # AWS, "Troubleshoot AWS Secrets Manager replication". It says only "you", so whoever writes a value gets
      # these permissions too.
      length(local.replicas_with_key) == 0 ? null : {
        Sid      = "UseTheKeysOfTheReplicas"
        Effect   = "Allow"
        Action   = ["kms:Encrypt", "kms:GenerateDataKey"]
        Resource = distinct(local.replicas_with_key[*].kms_key_arn)
        Condition = { StringEquals = { "kms:ViaService" = distinct([
          for replica in local.replicas_with_key : "secretsmanager.${replica.region}.${local.dns_suffix}"
        ]) } }
      },
      # AWS, "Giving Lambda functions access to resources in an Amazon VPC". Also without subnets: Lambda uses these
      # permissions to detach a function some minutes after it has left its subnets.
      {
        Sid    = "AttachToTheSubnets"
        Effect = "Allow"
        Action = [
          "ec2:CreateNetworkInterface",
          "ec2:DescribeNetworkInterfaces",
          "ec2:DescribeSubnets",
          "ec2:DeleteNetworkInterface",
          "ec2:AssignPrivateIpAddresses",
          "ec2:UnassignPrivateIpAddresses",
        ]
        Resource = "*"
      },
      # Lambda attaches the function from outside, so the function's own code needs none of this. Same page.
      {
        Sid       = "NotByTheFunctionItself"
        Effect    = "Deny"
        Action    = "ec2:*"
        Resource  = "*"
        Condition = { ArnEquals = { "lambda:SourceFunctionArn" = local.function_arn } }
      },
    ] : statement if statement != null]
  })
}

# The permissions of the schedules.

resource "aws_iam_role" "schedules" {
  lifecycle {
    ignore_changes = [name]
  }

  name                 = "${var.name}-${local.region}-schedules"
  description          = "Lets the schedules run the token job."
  permissions_boundary = var.permissions_boundary_arn == "" ? null : var.permissions_boundary_arn
  tags                 = var.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "scheduler.amazonaws.com" }
      Action    = "sts:AssumeRole"
      # Otherwise schedules of any account could assume it.
      Condition = { StringEquals = { "aws:SourceAccount" = local.account_id } }
    }]
  })
}

resource "aws_iam_role_policy" "schedules" {
  name = "run-the-job"
  role = aws_iam_role.schedules.name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "RunTheJob"
        Effect   = "Allow"
        Action   = "lambda:InvokeFunction"
        Resource = aws_lambda_function.token.arn
      },
      {
        Sid      = "LeaveWhatCouldNotBeDelivered"
        Effect   = "Allow"
        Action   = "sqs:SendMessage"
        Resource = aws_sqs_queue.undelivered.arn
      },
    ]
  })
}

# Policies to attach to consumers and operators.

resource "aws_iam_policy" "consumer" {
  for_each = local.clients

  lifecycle {
    ignore_changes = [name]
  }

  name = "${var.name}-${local.region}-${each.key}-consumer"
  # Never change this text: IAM would replace the policy, which roles outside this Terraform have.
  description = "Read the shared Telenor token, and nothing else."
  tags        = var.tags

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{
        Sid    = "ReadTheToken"
        Effect = "Allow"
        Action = [
          "secretsmanager:GetSecretValue",
          # AWS's caching clients look at the labels before they read.
          "secretsmanager:DescribeSecret",
        ]
        # AWS, "Replicate AWS Secrets Manager secrets across Regions": a replica's ARN differs in the region alone.
        Resource = concat([local.token_arns[each.key]], [
          for replica in each.value.replica_regions :
          replace(local.token_arns[each.key], ":secretsmanager:${local.region}:", ":secretsmanager:${replica.region}:")
        ])
      }],
      [for key in concat(
        [{ region = local.region, kms_key_arn = var.kms_key_arn }],
        each.value.replica_regions,
        ) : {
        Sid       = "DecryptTheToken${key.region == local.region ? "" : "In${replace(title(key.region), "-", "")}"}"
        Effect    = "Allow"
        Action    = "kms:Decrypt"
        Resource  = key.kms_key_arn
        Condition = { StringEquals = { "kms:ViaService" = "secretsmanager.${key.region}.${local.dns_suffix}" } }
      } if key.kms_key_arn != ""],
      length(var.previous_kms_key_arns) == 0 ? [] : [{
        Sid       = "DecryptWithPreviousKeys"
        Effect    = "Allow"
        Action    = "kms:Decrypt"
        Resource  = var.previous_kms_key_arns
        Condition = { StringEquals = { "kms:ViaService" = local.secrets_manager } }
      }],
    )
  })
}

resource "aws_iam_policy" "operator" {
  lifecycle {
    ignore_changes = [name]
  }

  name        = "${var.name}-${local.region}-operator"
  description = "Invoke the Telenor token job and read its status, without access to secret values."
  tags        = var.tags

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [for statement in [
      {
        Sid      = "RunTheJob"
        Effect   = "Allow"
        Action   = ["lambda:GetFunctionConfiguration", "lambda:InvokeFunction"]
        Resource = aws_lambda_function.token.arn
      },
      # The event of a client's runs, to which an operator adds an action. `telenor-token retire` disables the schedule. By a
      # pattern, as the labels below: a list of all would not fit.
      {
        Sid      = "ReadAndDisableTheSchedule"
        Effect   = "Allow"
        Action   = ["scheduler:GetSchedule", "scheduler:UpdateSchedule"]
        Resource = "arn:${local.partition}:scheduler:${local.region}:${local.account_id}:schedule/default/${var.name}-*"
      },
      # Scheduler requires iam:PassRole for each change of a schedule.
      {
        Sid       = "PassTheSchedulesRole"
        Effect    = "Allow"
        Action    = "iam:PassRole"
        Resource  = aws_iam_role.schedules.arn
        Condition = { StringEquals = { "iam:PassedToService" = "scheduler.amazonaws.com" } }
      },
      {
        Sid      = "ReadTheLabels"
        Effect   = "Allow"
        Action   = "secretsmanager:DescribeSecret"
        Resource = "arn:${local.partition}:secretsmanager:${local.region}:${local.account_id}:secret:${var.name}/*/token-??????"
      },
      {
        Sid      = "ReadTheLog"
        Effect   = "Allow"
        Action   = ["logs:FilterLogEvents", "logs:StartQuery"]
        Resource = "${aws_cloudwatch_log_group.function.arn}:*"
      },
      !var.dashboard ? null : {
        Sid      = "SeeTheDashboard"
        Effect   = "Allow"
        Action   = "cloudwatch:GetDashboard"
        Resource = "arn:${local.partition}:cloudwatch::${local.account_id}:dashboard/${var.name}-${local.region}"
      },
      # AWS supports only * for these, but for DescribeAlarms, which would hide composite alarms. A query's results
      # need its id.
      {
        Sid    = "ReadAlarmsMetricsAndResults"
        Effect = "Allow"
        Action = [
          "cloudwatch:DescribeAlarms",
          "cloudwatch:GetMetricData",
          "logs:GetQueryResults",
          "logs:StopQuery",
          "scheduler:ListSchedules",
        ]
        Resource = "*"
      },
      {
        Sid      = "LookAtWhatWasNotDelivered"
        Effect   = "Allow"
        Action   = ["sqs:PurgeQueue", "sqs:ReceiveMessage"]
        Resource = aws_sqs_queue.undelivered.arn
      },
    ] : statement if statement != null]
  })
}
