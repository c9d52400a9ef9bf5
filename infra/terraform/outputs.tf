output "function_name" {
  description = "Name of the function."
  value       = aws_lambda_function.token.function_name
}

output "function_role_arn" {
  description = "ARN of the function's role. A customer-managed key's policy must allow it."
  value       = aws_iam_role.function.arn
}

output "operator_policy_arn" {
  description = "Attach this policy to the roles of operators."
  value       = aws_iam_policy.operator.arn
}

output "log_group_name" {
  description = "Log group of the function."
  value       = aws_cloudwatch_log_group.function.name
}

output "undelivered_queue_url" {
  description = "Queue of the events that EventBridge could not deliver."
  value       = aws_sqs_queue.undelivered.url
}

output "dashboard_name" {
  description = "The dashboard that shows all clients; null without one."
  value       = one(aws_cloudwatch_dashboard.token[*].dashboard_name)
}

output "clients" {
  description = "For each client: `credentials_secret_arn`, the secret for client_id and client_secret; `token_secret_arn`, which consumers read; `consumer_policy_arn`, which you attach to the roles of consumers; `alarm_names`; `event`, the JSON that starts its runs. To invoke the function by hand, add an action to it."
  value = {
    for name in keys(local.clients) : name => {
      credentials_secret_arn = local.credentials_arns[name]
      token_secret_arn       = local.token_arns[name]
      consumer_policy_arn    = aws_iam_policy.consumer[name].arn
      alarm_names            = local.alarms_of_client[name][*].alarm_name
      event                  = jsonencode(local.events[name])
    }
  }
}

output "untold_alarms" {
  description = "A warning if alarms have no recipient: set alarm_email or alarm_topic_arn. Otherwise null."
  value = var.alarm_email != "" || var.alarm_topic_arn != "" ? null : (
    local.has_pager
    ? "WARNING: only TokenExpiryAlarm has a recipient. The other alarms have none."
    : "WARNING: no alarm has a recipient, not even TokenExpiryAlarm."
  )
}
