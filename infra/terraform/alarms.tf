# Alarms have two recipients: one for the page, one for all others.

resource "aws_sns_topic" "alarms" {
  count = var.alarm_email == "" ? 0 : 1

  name         = "${var.name}-alarms"
  display_name = "Access token alarms"
  tags         = var.tags
}

resource "aws_sns_topic_subscription" "alarms" {
  count = var.alarm_email == "" ? 0 : 1

  topic_arn = aws_sns_topic.alarms[0].arn
  protocol  = "email"
  endpoint  = var.alarm_email
}

resource "aws_sns_topic" "pager" {
  count = var.pager_email == "" ? 0 : 1

  name         = "${var.name}-pager"
  display_name = "Access token page"
  tags         = var.tags
}

resource "aws_sns_topic_subscription" "pager" {
  count = var.pager_email == "" ? 0 : 1

  topic_arn = aws_sns_topic.pager[0].arn
  protocol  = "email"
  endpoint  = var.pager_email
}

locals {
  alarm_actions = concat([for arn in [var.alarm_topic_arn] : arn if arn != ""], aws_sns_topic.alarms[*].arn)
  has_pager     = var.pager_email != "" || var.pager_topic_arn != ""
  pager_actions = local.has_pager ? concat([for arn in [var.pager_topic_arn] : arn if arn != ""], aws_sns_topic.pager[*].arn) : local.alarm_actions

  # TokenExpiryAlarm goes to ALARM after this many minutes without a reading above the grace period plus lead_seconds.
  # minutes is long enough for one missed run and one late reading. lead_seconds is longer than minutes.
  page = {
    1 = { minutes = 5, lead_seconds = 480 }
    2 = { minutes = 7, lead_seconds = 660 }
    5 = { minutes = 13, lead_seconds = 1080 }
  }[var.schedule_minutes]
}

# The only alarm that pages. It fires minutes before a reader's grace period is at risk.
resource "aws_cloudwatch_metric_alarm" "token_expiry" {
  for_each = local.clients

  alarm_name        = "${var.name}-${each.key}-TokenExpiryAlarm"
  alarm_description = "Client ${each.key} of job ${var.name}: the shared token is about to expire and is not renewed, or the job does not run. Consumers get 401 after it expires. See ${local.runbook}, \"TokenExpiryAlarm\"."

  metric_query {
    id          = "left"
    return_data = false

    metric {
      namespace   = "TelenorToken"
      metric_name = "SecondsUntilExpiry"
      dimensions  = { service = var.name, client = each.key }
      stat        = "Maximum"
      period      = 60
    }
  }

  # A missing reading counts as zero at once. As missing data, one good reading in CloudWatch's wider range would hide it.
  metric_query {
    id          = "spare"
    label       = "Seconds above the threshold"
    return_data = true
    expression  = "FILL(left, 0) - (${local.grace_seconds[each.key]} + ${local.page.lead_seconds})"
  }

  evaluation_periods  = local.page.minutes
  datapoints_to_alarm = local.page.minutes
  threshold           = 0
  comparison_operator = "LessThanOrEqualToThreshold"
  # For a metric that has been missing for so long that FILL has no data.
  treat_missing_data = "breaching"
  alarm_actions      = local.pager_actions
  ok_actions         = local.pager_actions
  tags               = var.tags
}

resource "aws_cloudwatch_metric_alarm" "revocations_pending" {
  for_each = local.clients

  alarm_name        = "${var.name}-${each.key}-RevocationsPendingAlarm"
  alarm_description = "Client ${each.key} of job ${var.name}: more superseded tokens than usual have waited two hours for their revocation. Consumers notice nothing. See ${local.runbook}, \"RevocationsPendingAlarm\"."

  metric_query {
    id          = "pending"
    return_data = false

    metric {
      namespace   = "TelenorToken"
      metric_name = "RevocationsPending"
      dimensions  = { service = var.name, client = each.key }
      stat        = "Minimum"
      # Two runs of the longest schedule, so that a late one leaves no period empty.
      period = 600
    }
  }

  # More than 1 + ceil((grace + 2 periods) / 15 min): renewals are at least 15 minutes apart, and each leaves one that
  # waits. For whole numbers this expression is the same. Metric math has no CEIL of a number.
  metric_query {
    id          = "piled"
    label       = "More than wait for their grace period"
    return_data = true
    expression  = "900 * (FILL(pending, 0) - 2) - (${local.grace_seconds[each.key]} + 2 * ${local.schedule_seconds})"
  }

  # Two hours. One lost run and the period that has just begun may lack a reading.
  evaluation_periods  = 12
  datapoints_to_alarm = 10
  threshold           = 0
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
  tags                = var.tags
}

locals {
  # Neither a late run nor a late metric leaves two such periods without a reading, so an alarm stays on.
  alarm_seconds = max(2 * local.schedule_seconds, 180)

  # The alarms of a client that sum one of the job's metrics.
  client_alarms = {
    # By the job's own metric, since Lambda counts the errors of all clients together. A run that cannot start sends no
    # metric, and TokenExpiryAlarm counts that as zero.
    RunsFailing = {
      metric_name         = "RotationFailed"
      period              = local.alarm_seconds
      evaluation_periods  = 3
      datapoints_to_alarm = 2
      description         = "runs keep failing. Consumers notice nothing until the current token expires."
    }
    RevocationFailed = {
      metric_name         = "RevocationFailed"
      period              = local.alarm_seconds
      evaluation_periods  = 4
      datapoints_to_alarm = 3
      description         = "revocations keep failing. Superseded tokens stay active until a retry succeeds or they expire. Consumers notice nothing."
    }
    RevocationAbandoned = {
      metric_name         = "RevocationAbandoned"
      period              = 3600
      evaluation_periods  = 1
      datapoints_to_alarm = 1
      description         = "a token may still be active, and no run will revoke it. It expires by itself. Consumers notice nothing."
    }
    # Per hour: the job counts it when a token is due, which is more often than once an hour.
    CredentialsFallback = {
      metric_name         = "CredentialsFallback"
      period              = 3600
      evaluation_periods  = 1
      datapoints_to_alarm = 1
      description         = "the server rejects the new credentials. The job uses the previous pair. Consumers notice nothing."
    }
  }

  # The alarms of the function, which all clients share.
  function_alarms = {
    Undelivered = {
      namespace           = "AWS/SQS"
      metric_name         = "ApproximateNumberOfMessagesVisible"
      dimensions          = { QueueName = aws_sqs_queue.undelivered.name }
      statistic           = "Maximum"
      period              = 300
      evaluation_periods  = 1
      datapoints_to_alarm = 1
      threshold           = 1
      description         = "EventBridge could not start the job. The event is in the queue."
    }
    Throttled = {
      namespace           = "AWS/Lambda"
      metric_name         = "Throttles"
      dimensions          = { FunctionName = aws_lambda_function.token.function_name }
      statistic           = "Sum"
      period              = local.schedule_seconds
      evaluation_periods  = 3
      datapoints_to_alarm = 2
      threshold           = 1
      description         = "Lambda throttled the job in at least 2 of the last 3 schedule periods. Lambda drops events older than a minute."
    }
    # Milliseconds. Not AsyncEventsDropped: without retries that counts every failing run.
    Waiting = {
      namespace           = "AWS/Lambda"
      metric_name         = "AsyncEventAge"
      dimensions          = { FunctionName = aws_lambda_function.token.function_name }
      statistic           = "Maximum"
      period              = local.schedule_seconds
      evaluation_periods  = 3
      datapoints_to_alarm = 2
      threshold           = 30000
      description         = "events waited 30 s or longer in at least 2 of the last 3 schedule periods. Lambda drops them after a minute."
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "client" {
  for_each = merge([
    for client in keys(local.clients) : {
      for kind, alarm in local.client_alarms : "${client}/${kind}" => merge(alarm, { client = client, kind = kind })
    }
  ]...)

  alarm_name        = "${var.name}-${each.value.client}-${each.value.kind}Alarm"
  alarm_description = "Client ${each.value.client} of job ${var.name}: ${each.value.description} See ${local.runbook}, \"${each.value.kind}Alarm\"."

  metric_query {
    id          = "count"
    return_data = false

    metric {
      namespace   = "TelenorToken"
      metric_name = each.value.metric_name
      dimensions  = { service = var.name, client = each.value.client }
      stat        = "Sum"
      period      = each.value.period
    }
  }

  # The job sends its counters only in a run in which they are not zero.
  metric_query {
    id          = "filled"
    label       = each.value.metric_name
    return_data = true
    expression  = "FILL(count, 0)"
  }

  evaluation_periods  = each.value.evaluation_periods
  datapoints_to_alarm = each.value.datapoints_to_alarm
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  # For a metric that has been missing for so long that FILL has no data.
  treat_missing_data = "notBreaching"
  alarm_actions      = local.alarm_actions
  ok_actions         = local.alarm_actions
  tags               = var.tags
}

resource "aws_cloudwatch_metric_alarm" "function" {
  for_each = local.function_alarms

  alarm_name          = "${var.name}-${each.key}Alarm"
  alarm_description   = "Job ${var.name}, all clients: ${each.value.description} See ${local.runbook}, \"${each.key}Alarm\"."
  namespace           = each.value.namespace
  metric_name         = each.value.metric_name
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  period              = each.value.period
  evaluation_periods  = each.value.evaluation_periods
  datapoints_to_alarm = each.value.datapoints_to_alarm
  threshold           = each.value.threshold
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
  tags                = var.tags
}
