resource "aws_scheduler_schedule" "client" {
  for_each = local.clients

  name                = "${var.name}-${each.key}"
  description         = "Runs the token job."
  schedule_expression = "rate(${var.schedule_minutes} minute${var.schedule_minutes == 1 ? "" : "s"})"

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = aws_lambda_function.token.arn
    role_arn = aws_iam_role.schedules.arn
    input    = jsonencode(local.events[each.key])

    # A delivery that is older than the next run has nothing left to do.
    retry_policy {
      maximum_retry_attempts       = 2
      maximum_event_age_in_seconds = 60
    }

    dead_letter_config {
      arn = aws_sqs_queue.undelivered.arn
    }
  }

  # Scheduler's first delivery needs both.
  depends_on = [aws_iam_role_policy.schedules, aws_lambda_function_event_invoke_config.token]
}

# The job tries new credentials at once, and reports a mistyped pair within seconds instead of at the next renewal.
# Secrets Manager sends this event by itself, for each label of each secret.
resource "aws_cloudwatch_event_rule" "new_credentials" {
  for_each = local.clients

  name = "${var.name}-${each.key}"
  tags = var.tags

  event_pattern = jsonencode({
    source        = ["aws.secretsmanager"]
    "detail-type" = ["Secret Label Updated"]
    resources     = [local.credentials_arns[each.key]]
    detail        = { labelUpdated = ["AWSCURRENT"] }
  })
}

resource "aws_cloudwatch_event_target" "new_credentials" {
  for_each = local.clients

  rule  = aws_cloudwatch_event_rule.new_credentials[each.key].name
  arn   = aws_lambda_function.token.arn
  input = jsonencode(merge(local.events[each.key], { action = "credentials-changed" }))

  retry_policy {
    maximum_retry_attempts       = 2
    maximum_event_age_in_seconds = 60
  }

  dead_letter_config {
    arn = aws_sqs_queue.undelivered.arn
  }
}

resource "aws_lambda_permission" "new_credentials" {
  for_each = local.clients

  statement_id  = "new-credentials-${each.key}"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.token.function_name
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.new_credentials[each.key].arn
}

# The events that EventBridge could not deliver. Fourteen days, the maximum: somebody reads the queue after
# UndeliveredAlarm.
resource "aws_sqs_queue" "undelivered" {
  name                      = "${var.name}-undelivered"
  sqs_managed_sse_enabled   = true
  message_retention_seconds = 1209600
  tags                      = var.tags
}

resource "aws_sqs_queue_policy" "undelivered" {
  queue_url = aws_sqs_queue.undelivered.url

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "TheRuleLeavesWhatItCouldNotDeliver"
      Effect    = "Allow"
      Principal = { Service = "events.amazonaws.com" }
      Action    = "sqs:SendMessage"
      Resource  = aws_sqs_queue.undelivered.arn
      Condition = { ArnEquals = { "aws:SourceArn" = values(aws_cloudwatch_event_rule.new_credentials)[*].arn } }
    }]
  })
}
