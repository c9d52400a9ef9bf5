locals {
  # The role's policy names the function before there is one.
  function_arn = "arn:${local.partition}:lambda:${local.region}:${local.account_id}:function:${var.name}"
}

resource "aws_lambda_function" "token" {
  function_name     = var.name
  description       = "Renews the shared access token if it is due, and revokes superseded ones."
  filename          = var.artifact_path
  source_code_hash  = var.artifact_path == null ? null : filebase64sha256(var.artifact_path)
  s3_bucket         = one(var.artifact_s3[*].bucket)
  s3_key            = one(var.artifact_s3[*].key)
  s3_object_version = one(var.artifact_s3[*].object_version)
  handler           = "handler.app.lambda_handler"
  runtime           = "python3.13"
  architectures     = [var.architecture]
  memory_size       = 256
  # Five attempts at Telenor with their waits, and the time to store what they got.
  timeout = 120
  role    = aws_iam_role.function.arn
  tags    = var.tags

  # No reserved concurrency: a new account has none to reserve, and two runs at once do no harm. At worst they publish
  # two tokens, and both are in the ledger.

  tracing_config {
    mode = "Active"
  }

  logging_config {
    log_format = "JSON"
    log_group  = aws_cloudwatch_log_group.function.name
  }

  dynamic "vpc_config" {
    for_each = length(var.subnet_ids) > 0 ? [true] : []

    content {
      subnet_ids         = var.subnet_ids
      security_group_ids = var.security_group_ids
    }
  }

  # No client is named here: each event names its own, so a new client does not change the function.
  environment {
    variables = merge(
      {
        SERVES_CLIENTS    = "true"
        TELENOR_BASE_URL  = var.telenor_base_url
        VERIFY_URL        = var.verify_url
        GRACE_SECONDS     = tostring(var.grace_seconds)
        RENEW_AT_FRACTION = tostring(var.renew_at_fraction)
        SCHEDULE_MINUTES  = tostring(var.schedule_minutes)
        ROUTINE_METRICS   = tostring(var.routine_metrics)
        # The dimension of every metric, so that two jobs in one account do not mix theirs.
        POWERTOOLS_SERVICE_NAME = var.name
      },
      { for variable, value in {
        TOKEN_URL             = var.token_url
        REVOCATION_URL        = var.revocation_url
        CLIENT_AUTHENTICATION = var.client_authentication
      } : variable => value if value != "" },
    )
  }

  # Lambda attaches the function to the subnets as the role, and no schedule begins before the role may do its work.
  depends_on = [aws_iam_role_policy.function, aws_iam_role_policy_attachment.function]
}

# The next run is the retry. Lambda's own would run each failing event three times within three minutes, and keep a
# throttled one for six hours.
resource "aws_lambda_function_event_invoke_config" "token" {
  function_name                = aws_lambda_function.token.function_name
  maximum_retry_attempts       = 0
  maximum_event_age_in_seconds = 60
}

# Keep the log when the job is destroyed; it expires by its retention. The prefix lets the next job of this name have a
# log of its own.
resource "aws_cloudwatch_log_group" "function" {
  name_prefix       = "/aws/lambda/${var.name}-"
  retention_in_days = var.log_retention_days
  skip_destroy      = true
  tags              = var.tags

  # Here, since nearly everything depends on the log: a refusal comes before any change. checks.tf
  lifecycle {
    precondition {
      condition     = length(local.refusals) == 0
      error_message = join("\n", local.refusals)
    }
    precondition {
      # No validation of the variable, which would need the artifact for `terraform validate`.
      condition     = var.artifact_path == null ? true : fileexists(var.artifact_path)
      error_message = "artifact_path names no file: run make build, and name build/telenor-token.zip."
    }
    precondition {
      condition     = length(local.refusals_of_region) == 0
      error_message = join("\n", local.refusals_of_region)
    }
    precondition {
      condition     = length(local.refusals_to_delete) == 0
      error_message = join("\n", local.refusals_to_delete)
    }
  }
}
