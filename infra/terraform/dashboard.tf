# One for all clients: what they share at the top and at the bottom, and between them a row for each client.

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
  bottom = 9 + 5 * length(local.clients)
}

resource "aws_cloudwatch_dashboard" "token" {
  count = var.dashboard ? 1 : 0

  # Dashboards are global in an account: without the region, two regions would write the same one.
  dashboard_name = "${var.name}-${local.region}"

  dashboard_body = jsonencode({
    widgets = concat(
      [
        {
          type = "text", x = 0, y = 0, width = 24, height = 2
          properties = {
            markdown = "# ${var.name}: the shared Telenor tokens\nAre they fresh? Are superseded ones going? The table at the bottom names each run by its version id; open its lines with [Logs Insights](https://${local.region}.console.aws.amazon.com/cloudwatch/home?region=${local.region}#logsV2:logs-insights). Runbook: ${local.runbook}."
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
      flatten([
        for index, name in keys(local.clients) : [
          {
            type = "metric", x = 0, y = 9 + 5 * index, width = 12, height = 5
            properties = merge(local.graph, {
              title  = "${name}: rotations"
              stat   = "Sum"
              period = 3600
              metrics = [
                ["TelenorToken", "TokenRotated", "service", var.name, "client", name, { color = "#2ca02c" }],
                [".", "TokenReissued", ".", ".", ".", ".", { color = "#ff7f0e" }],
                [".", "RotationFailed", ".", ".", ".", ".", { color = "#d62728" }],
                [".", "CredentialsFallback", ".", ".", ".", ".", { color = "#9467bd" }],
              ]
            })
          },
          {
            type = "metric", x = 12, y = 9 + 5 * index, width = 12, height = 5
            properties = merge(local.graph, {
              title  = "${name}: revocations"
              stat   = "Sum"
              period = 3600
              metrics = [
                ["TelenorToken", "TokenRevoked", "service", var.name, "client", name, { color = "#2ca02c" }],
                [".", "RevocationFailed", ".", ".", ".", ".", { color = "#d62728" }],
                [".", "RevocationAbandoned", ".", ".", ".", ".", { color = "#8c564b" }],
                [".", "RevocationsPending", ".", ".", ".", ".", { color = "#1f77b4", stat = "Maximum", label = "RevocationsPending (most)" }],
              ]
            })
          },
        ]
      ]),
      [
        {
          type = "metric", x = 0, y = local.bottom, width = 12, height = 6
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
          type = "log", x = 12, y = local.bottom, width = 12, height = 6
          properties = merge(local.graph, {
            title = "Towards Telenor: attempts a token, and seconds until it was there"
            query = "${local.source} | filter attempts > 0 | stats max(attempts) as most_attempts, max(telenor_seconds) as longest_seconds by bin(1h)"
          })
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
            title  = "What went wrong last (the runbook has a row for each error_code)"
            region = local.region, view = "table"
            query  = "${local.source} | filter level in ['WARNING', 'ERROR'] and error_code != 'retry' | fields @timestamp, level, error_code, message, client, function_request_id | sort @timestamp desc | limit 50"
          }
        },
        {
          type = "log", x = 0, y = local.bottom + 12, width = 24, height = 8
          properties = {
            title  = "Runs that did something: the version id is the request id, so filter function_request_id by it"
            region = local.region, view = "table"
            query  = "${local.source} | filter ispresent(outcome) and outcome != 'not-due' | fields @timestamp, client, outcome, reason, version_id, attempts, telenor_seconds, duration_seconds, pending_revocations, revocations_failed, @logStream | sort @timestamp desc | limit 100"
          }
        },
      ],
    )
  })
}
