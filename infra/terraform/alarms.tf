# Two places that alarms go to: the page, and everything else.

resource "aws_sns_topic" "alarms" {
  count = var.alarm_email == "" ? 0 : 1

  name         = "${var.name}-alarms"
  display_name = "Telenor token alarms"
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
  display_name = "Telenor token page"
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

  # TokenExpiryAlarm rings after so many minutes without a reading of more than the grace and lead_seconds. The minutes
  # outlast a run that is lost and a reading that is late; the lead outlasts the minutes.
  page = {
    1 = { minutes = 5, lead_seconds = 480 }
    2 = { minutes = 7, lead_seconds = 660 }
    5 = { minutes = 13, lead_seconds = 1080 }
  }[var.schedule_minutes]
}

# This one pages: consumers have less than they are promised some minutes after it has rung.
resource "aws_cloudwatch_metric_alarm" "token_expiry" {
  for_each = local.clients

  alarm_name        = "${var.name}-${each.key}-TokenExpiryAlarm"
  alarm_description = "Client ${each.key} of job ${var.name}: the shared Telenor token runs out and is not renewed, or the job does not run at all. Consumers are refused when it has run out. See ${local.runbook}, \"TokenExpiryAlarm\"."

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

  # Silence is zero at once. As missing data, one good reading in CloudWatch's wider range would hide it.
  metric_query {
    id          = "spare"
    label       = "Seconds to spare"
    return_data = true
    expression  = "FILL(left, 0) - (${local.grace_seconds[each.key]} + ${local.page.lead_seconds})"
  }

  evaluation_periods  = local.page.minutes
  datapoints_to_alarm = local.page.minutes
  threshold           = 0
  comparison_operator = "LessThanOrEqualToThreshold"
  # Where the metric has not been put out for so long that there is nothing to fill.
  treat_missing_data = "breaching"
  alarm_actions      = local.pager_actions
  ok_actions         = local.pager_actions
  tags               = var.tags
}

resource "aws_cloudwatch_metric_alarm" "revocations_pending" {
  for_each = local.clients

  alarm_name        = "${var.name}-${each.key}-RevocationsPendingAlarm"
  alarm_description = "Client ${each.key} of job ${var.name}: superseded tokens have piled up for two hours, more than wait for their grace. Consumers notice nothing. See ${local.runbook}, \"RevocationsPendingAlarm\"."

  metric_query {
    id          = "pending"
    return_data = false

    metric {
      namespace   = "TelenorToken"
      metric_name = "RevocationsPending"
      dimensions  = { service = var.name, client = each.key }
      stat        = "Minimum"
      period      = 3600
    }
  }

  # More than 1 + ceil((grace + 2 periods) / 15 min): renewals are 15 minutes apart at least, and each leaves one that
  # waits. For whole numbers that is the same as this, and metric math has no CEIL of a number.
  metric_query {
    id          = "piled"
    label       = "Beyond what waits for its grace"
    return_data = true
    expression  = "900 * (FILL(pending, 0) - 2) - (${local.grace_seconds[each.key]} + 2 * ${local.schedule_seconds})"
  }

  evaluation_periods  = 2
  datapoints_to_alarm = 2
  threshold           = 0
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
  tags                = var.tags
}

locals {
  # The plain alarms of a client: a sum of one of the job's metrics.
  client_alarms = {
    # By the job's own metric, since Lambda counts the errors of all clients as one. A run that cannot even start puts
    # none out: that is silence, and rings TokenExpiryAlarm.
    RunsFailing = {
      metric_name         = "RotationFailed"
      period              = local.schedule_seconds
      evaluation_periods  = 3
      datapoints_to_alarm = 2
      description         = "the token job fails again and again. Consumers notice nothing until the current token runs out."
    }
    RevocationFailed = {
      metric_name         = "RevocationFailed"
      period              = local.schedule_seconds
      evaluation_periods  = 3
      datapoints_to_alarm = 3
      description         = "logging superseded tokens out fails again and again, so that they live longer than they need to. Consumers notice nothing."
    }
    RevocationAbandoned = {
      metric_name         = "RevocationAbandoned"
      period              = 3600
      evaluation_periods  = 1
      datapoints_to_alarm = 1
      description         = "a token that nobody uses could not be logged out and is no longer tracked. It dies by its expiry."
    }
    # By the hour: it is counted when a token is due, and less than an hour lies between two of those.
    CredentialsFallback = {
      metric_name         = "CredentialsFallback"
      period              = 3600
      evaluation_periods  = 1
      datapoints_to_alarm = 1
      description         = "Telenor refuses the new credentials, and the job goes on with the previous ones. Consumers notice nothing."
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
      description         = "the token job could not be started; what could not be delivered is in the queue."
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
      description         = "Lambda has no room for the token job again and again, and drops what has waited for a minute."
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
      description         = "events wait half a minute and longer for the token job again and again; after a minute they are dropped."
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
  # Where the metric has not been sent for so long that there is nothing to fill.
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
