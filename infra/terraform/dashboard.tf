# One for all clients: what they share at the top and at the bottom, and between them a widget for each client.

locals {
  alarms_of_client = {
    for name in keys(local.clients) : name => concat(
      [aws_cloudwatch_metric_alarm.token_expiry[name]],
      [for kind in ["RunsFailing", "RevocationFailed"] : aws_cloudwatch_metric_alarm.client["${name}/${kind}"]],
      [aws_cloudwatch_metric_alarm.revocations_pending[name]],
      [for kind in ["RevocationAbandoned", "CredentialsFallback"] : aws_cloudwatch_metric_alarm.client["${name}/${kind}"]],
    )
  }
  # AWS, "Dashboard body structure and syntax": an alarm widget shows a hundred at most. The pages come first.
  shown_alarms = slice(
    concat(
      values(aws_cloudwatch_metric_alarm.token_expiry)[*].arn,
      values(aws_cloudwatch_metric_alarm.function)[*].arn,
      flatten([for alarms in values(local.alarms_of_client) : slice(alarms, 1, length(alarms))[*].arn]),
    ),
    0,
    min(100, length(aws_cloudwatch_metric_alarm.function) + length(local.clients) * 6),
  )

  graph  = { region = local.region, view = "timeSeries" }
  source = "SOURCE '${aws_cloudwatch_log_group.function.name}'"
  bottom = 9 + 5 * ceil(length(local.clients) / 2)
}

resource "aws_cloudwatch_dashboard" "token" {
  count = var.dashboard ? 1 : 0

  lifecycle {
    ignore_changes = [dashboard_name]
  }

  # Dashboards are global in an account: without the region, two regions would write the same one.
  dashboard_name = "${var.name}-${local.region}"

  dashboard_body = jsonencode({
    widgets = concat(
      [
        {
          type = "text", x = 0, y = 0, width = 24, height = 2
          properties = {
            markdown = "# ${var.name}: the shared access tokens\nAre they fresh? Are superseded ones revoked? The table at the bottom names each run by its function_request_id: filter by it in Logs Insights. Runbook: ${local.runbook}."
          }
        },
        {
          type = "metric", x = 0, y = 2, width = 16, height = 7
          properties = merge(local.graph, {
            title   = "Seconds until each client's token expires (red: no more than consumers are promised)"
            stat    = "Minimum"
            period  = 60
            metrics = [for name in keys(local.clients) : ["TelenorToken", "SecondsUntilExpiry", "service", var.name, "client", name, { label = name }]]
            yAxis   = { left = { min = 0 } }
            annotations = { horizontal = [
              for grace in distinct(values(local.grace_seconds)) : { label = "GRACE_SECONDS", value = grace, fill = "below", color = "#d62728" }
            ] }
          })
        },
        {
          type       = "alarm", x = 16, y = 2, width = 8, height = 7
          properties = { title = "Alarms", alarms = local.shown_alarms }
        },
      ],
      [
        for index, name in keys(local.clients) : {
          type = "metric", x = index % 2 * 12, y = 9 + 5 * floor(index / 2), width = 12, height = 5
          properties = merge(local.graph, {
            title  = "${name}: failures, and superseded tokens that wait"
            stat   = "Sum"
            period = 3600
            metrics = [
              ["TelenorToken", "RotationFailed", "service", var.name, "client", name, { color = "#d62728" }],
              [".", "TokenReissued", ".", ".", ".", ".", { color = "#ff7f0e" }],
              [".", "CredentialsFallback", ".", ".", ".", ".", { color = "#9467bd" }],
              [".", "RevocationFailed", ".", ".", ".", ".", { color = "#e377c2" }],
              [".", "RevocationAbandoned", ".", ".", ".", ".", { color = "#8c564b" }],
              [".", "RevocationsPending", ".", ".", ".", ".", { color = "#1f77b4", stat = "Maximum", label = "RevocationsPending (most)" }],
            ]
          })
        }
      ],
      [
        {
          type = "metric", x = 0, y = local.bottom, width = 8, height = 6
          properties = merge(local.graph, {
            title  = "Runs: invocations, errors, and what did not reach the function"
            stat   = "Sum"
            period = 3600
            metrics = [
              ["AWS/Lambda", "Invocations", "FunctionName", aws_lambda_function.token.function_name],
              [".", "Errors", ".", ".", { color = "#d62728" }],
              [".", "Throttles", ".", ".", { color = "#ff7f0e" }],
              [".", "AsyncEventAge", ".", ".", { stat = "Maximum", label = "Longest wait (ms)", yAxis = "right", color = "#7f7f7f" }],
              ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", aws_sqs_queue.undelivered.name, { stat = "Maximum", label = "Undelivered", color = "#8c564b" }],
            ]
          })
        },
        {
          type = "log", x = 8, y = local.bottom, width = 8, height = 6
          properties = merge(local.graph, {
            title = "Towards the authorization server: attempts a token, and seconds until it was there"
            query = "${local.source} | filter attempts > 0 | stats max(attempts) as most_attempts, max(telenor_seconds) as longest_seconds by bin(1h)"
          })
        },
        # One table, since an account runs only some queries at a time.
        {
          type = "log", x = 16, y = local.bottom, width = 8, height = 6
          properties = {
            title  = "Tokens published, and runs that revoked, by client"
            region = local.region, view = "table"
            query  = "${local.source} | filter ispresent(outcome) | fields strcontains(outcome, 'rotated') as is_rotated | stats sum(is_rotated) as published, count(revoked.0) as runs_that_revoked by client"
          }
        },
        {
          type = "log", x = 0, y = local.bottom + 6, width = 8, height = 6
          properties = {
            title  = "How often, by client and error_code"
            region = local.region, view = "table"
            query  = "${local.source} | filter ispresent(error_code) | stats count(*) as times, latest(@timestamp) as last by client, error_code | sort times desc"
          }
        },
        {
          type = "log", x = 8, y = local.bottom + 6, width = 16, height = 6
          properties = {
            title  = "What went wrong last (docs/error-codes.md has a row for each error_code)"
            region = local.region, view = "table"
            query  = "${local.source} | filter level in ['WARNING', 'ERROR'] and error_code != 'retry' | fields @timestamp, level, error_code, message, client, function_request_id | sort @timestamp desc | limit 50"
          }
        },
        {
          type = "log", x = 0, y = local.bottom + 12, width = 24, height = 8
          properties = {
            title  = "Runs that did something, by function_request_id; version_id is the current token's"
            region = local.region, view = "table"
            query  = "${local.source} | filter ispresent(outcome) and outcome != 'not-due' | fields @timestamp, client, outcome, reason, function_request_id, version_id, attempts, telenor_seconds, duration_seconds, pending_revocations, revocations_failed, @logStream | sort @timestamp desc | limit 100"
          }
        },
      ],
    )
  })
}
