output "function_name" {
  description = "Invoke it by hand with a client's event and an action."
  value       = aws_lambda_function.token.function_name
}

output "function_role_arn" {
  description = "What a customer-managed key's policy has to let use the key."
  value       = aws_iam_role.function.arn
}

output "operator_policy_arn" {
  description = "Attach this policy to the roles of operators."
  value       = aws_iam_policy.operator.arn
}

output "log_group_name" {
  description = "The function's log."
  value       = aws_cloudwatch_log_group.function.name
}

output "undelivered_queue_url" {
  description = "Deliveries of the schedules and of the rules that failed."
  value       = aws_sqs_queue.undelivered.url
}

output "dashboard_name" {
  description = "The dashboard that shows all clients; null without one."
  value       = one(aws_cloudwatch_dashboard.token[*].dashboard_name)
}

output "clients" {
  description = "For each client: `credentials_secret_arn`, where client_id and client_secret are put; `token_secret_arn`, which consumers read; `consumer_policy_arn`, which you attach to the roles of consumers; `alarm_names`; `event`, what each run of it is told, to which an operator adds an action."
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
  description = "A warning where alarms reach nobody: name alarm_email or alarm_topic_arn. Otherwise null."
  value = var.alarm_email != "" || var.alarm_topic_arn != "" ? null : (
    local.has_pager
    ? "WARNING: only the page reaches somebody. No other alarm reaches anybody."
    : "WARNING: no alarm reaches anybody, not even the page."
  )
}
