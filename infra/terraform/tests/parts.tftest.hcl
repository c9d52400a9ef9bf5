# Every part that a variable adds or leaves out.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  artifact_path = "versions.tf"
}

run "by_default_nothing_optional_is_there" {
  assert {
    condition     = keys(output.clients) == ["default"]
    error_message = "one client is not what is made by default"
  }
  assert {
    condition     = length(aws_secretsmanager_secret.credentials) == 1 && [for statement in jsondecode(aws_secretsmanager_secret.credentials["default"].policy).Statement : statement.Sid] == ["NobodyButTheJobReads"]
    error_message = "no credentials secret with a policy was made"
  }
  assert {
    condition     = length(aws_lambda_function.token.vpc_config) == 0 && aws_iam_role.function.permissions_boundary == null && aws_iam_role.schedules.permissions_boundary == null
    error_message = "a VPC or a boundary is there that nobody asked for"
  }
  assert {
    condition     = [for statement in jsondecode(aws_iam_role_policy.function.policy).Statement : statement.Sid] == ["ReadTheCredentials", "ForThisFunctionAlone", "WriteItsLog", "SendTraces", "AttachToTheSubnets", "NotByTheFunctionItself"]
    error_message = "the role's own policy has other statements"
  }
  assert {
    condition     = [for statement in jsondecode(aws_secretsmanager_secret_policy.token["default"].policy).Statement : statement.Sid] == ["NobodyButTheJobWrites", "NobodyDeletes"]
    error_message = "the token secret's policy has other statements"
  }
  assert {
    condition     = keys(jsondecode(aws_scheduler_schedule.client["default"].target[0].input)) == ["client", "credentials_secret_id", "token_secret_id"]
    error_message = "the event has other fields"
  }
  assert {
    condition     = toset(keys(aws_lambda_function.token.environment[0].variables)) == toset(["SERVES_CLIENTS", "TELENOR_BASE_URL", "VERIFY_URL", "GRACE_SECONDS", "RENEW_AT_FRACTION", "SCHEDULE_MINUTES", "ROUTINE_METRICS", "POWERTOOLS_SERVICE_NAME"])
    error_message = "the environment has other variables"
  }
  assert {
    condition     = aws_lambda_function.token.environment[0].variables.SERVES_CLIENTS == "true"
    error_message = "an event may not name its client"
  }
  assert {
    condition     = jsondecode(aws_iam_role.schedules.assume_role_policy).Statement[0].Condition == { StringEquals = { "aws:SourceAccount" = "123456789012" } }
    error_message = "schedules of another account may use the role"
  }
  assert {
    condition     = length(aws_sns_topic.alarms) + length(aws_sns_topic.pager) == 0 && length(aws_cloudwatch_metric_alarm.token_expiry["default"].alarm_actions) == 0
    error_message = "an alarm goes somewhere"
  }
  assert {
    condition     = output.untold_alarms == "WARNING: no alarm has a recipient, not even TokenExpiryAlarm."
    error_message = "the warning about alarms without a recipient is missing"
  }
}

run "an_artifact_from_a_bucket" {
  variables {
    artifact_path = null
    artifact_s3   = { bucket = "a-bucket", key = "telenor-token.zip", object_version = "1" }
  }

  assert {
    condition     = [aws_lambda_function.token.s3_bucket, aws_lambda_function.token.s3_key, aws_lambda_function.token.s3_object_version] == ["a-bucket", "telenor-token.zip", "1"] && aws_lambda_function.token.filename == null
    error_message = "the function is not the one in the bucket"
  }
}

run "credentials_that_exist_stay_their_owners" {
  variables {
    clients = { a = {
      credentials_secret_arn  = "arn:aws:secretsmanager:eu-north-1:123456789012:secret:mine-a1b2c3"
      credentials_kms_key_arn = "arn:aws:kms:eu-north-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    } }
  }

  assert {
    condition     = length(aws_secretsmanager_secret.credentials) == 0
    error_message = "a credentials secret was made although one was named"
  }
  assert {
    condition     = jsondecode(aws_iam_role_policy.function.policy).Statement[0].Resource == ["arn:aws:secretsmanager:eu-north-1:123456789012:secret:mine-a1b2c3"]
    error_message = "the role may read other credentials than those that were named"
  }
  assert {
    condition = [for statement in jsondecode(aws_iam_role_policy.function.policy).Statement : statement if statement.Sid == "UseTheKeyOfTheCredentials"] == [{
      Sid       = "UseTheKeyOfTheCredentials"
      Effect    = "Allow"
      Action    = "kms:Decrypt"
      Resource  = ["arn:aws:kms:eu-north-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"]
      Condition = { StringEquals = { "kms:ViaService" = "secretsmanager.eu-north-1.amazonaws.com" } }
    }]
    error_message = "the role may not use the credentials' key, or too much of it"
  }
  assert {
    condition     = jsondecode(aws_cloudwatch_event_rule.new_credentials["a"].event_pattern).resources == ["arn:aws:secretsmanager:eu-north-1:123456789012:secret:mine-a1b2c3"]
    error_message = "the rule does not watch the credentials that were named"
  }
  assert {
    condition     = jsondecode(aws_cloudwatch_event_target.new_credentials["a"].input) == { action = "credentials-changed", client = "a", credentials_secret_id = "arn:aws:secretsmanager:eu-north-1:123456789012:secret:mine-a1b2c3", token_secret_id = output.clients["a"].token_secret_arn }
    error_message = "new credentials do not rotate this client"
  }
}

run "a_scope_and_a_grace_of_its_own_are_told_in_the_event_and_to_the_alarms" {
  variables {
    clients       = { a = { scope = "one two", grace_seconds = 0 }, b = {} }
    grace_seconds = 900
  }

  assert {
    condition     = jsondecode(output.clients["a"].event).scope == "one two" && jsondecode(output.clients["a"].event).grace_seconds == 0
    error_message = "the event lacks the client's scope or grace"
  }
  assert {
    condition     = aws_lambda_function.token.environment[0].variables.GRACE_SECONDS == "900"
    error_message = "the environment lacks the grace of the others"
  }
  assert {
    condition     = [for alarm in values(aws_cloudwatch_metric_alarm.token_expiry) : one([for query in alarm.metric_query : query.expression if query.return_data])] == ["FILL(left, 0) - (0 + 1080)", "FILL(left, 0) - (900 + 1080)"]
    error_message = "the page does not count with each client's own grace"
  }
  assert {
    condition     = one([for query in aws_cloudwatch_metric_alarm.revocations_pending["a"].metric_query : query.expression if query.return_data]) == "900 * (FILL(pending, 0) - 2) - (0 + 2 * 300)"
    error_message = "the pile does not count with the client's own grace"
  }
}

run "another_server_is_in_the_environment_and_its_parameters_in_the_event" {
  variables {
    clients               = { a = { token_parameters = "audience=x&resource=y" }, b = {} }
    token_url             = "https://login.example.com/token"
    revocation_url        = "none"
    client_authentication = "client_secret_post"
  }

  assert {
    condition = { for name, value in aws_lambda_function.token.environment[0].variables : name => value if contains(["TOKEN_URL", "REVOCATION_URL", "CLIENT_AUTHENTICATION", "TOKEN_PARAMETERS"], name) } == {
      CLIENT_AUTHENTICATION = "client_secret_post"
      REVOCATION_URL        = "none"
      TOKEN_URL             = "https://login.example.com/token"
    }
    error_message = "the environment does not name the other server"
  }
  assert {
    condition     = jsondecode(output.clients["a"].event).token_parameters == "audience=x&resource=y" && !can(jsondecode(output.clients["b"].event).token_parameters)
    error_message = "the event lacks the client's parameters, or has another client's"
  }
}

run "each_schedule_has_its_expression_and_its_page" {
  variables {
    schedule_minutes = 1
  }

  assert {
    condition     = aws_scheduler_schedule.client["default"].schedule_expression == "rate(1 minute)" && aws_lambda_function.token.environment[0].variables.SCHEDULE_MINUTES == "1"
    error_message = "the schedule is not a minute"
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.token_expiry["default"].evaluation_periods == 5 && one([for query in aws_cloudwatch_metric_alarm.token_expiry["default"].metric_query : query.expression if query.return_data]) == "FILL(left, 0) - (600 + 480)"
    error_message = "the page is not that of a schedule of a minute"
  }
}

run "a_key_is_for_both_secrets_and_all_who_use_them" {
  variables {
    kms_key_arn         = "arn:aws:kms:eu-north-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    deployment_role_arn = "arn:aws:iam::123456789012:role/deploys"
    clients = { default = {
      reader_principals = ["arn:aws:iam::999999999999:root", "arn:aws:iam::888888888888:role/reader"]
      replica_regions = [
        { region = "eu-west-1" },
        { region = "us-east-1", kms_key_arn = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab" },
      ]
    } }
  }

  assert {
    condition     = aws_secretsmanager_secret.token["default"].kms_key_id == var.kms_key_arn && aws_secretsmanager_secret.credentials["default"].kms_key_id == var.kms_key_arn
    error_message = "a secret is not under the key"
  }
  assert {
    condition     = [for statement in jsondecode(aws_secretsmanager_secret_policy.token["default"].policy).Statement : statement.Sid] == ["NobodyButTheJobWrites", "NobodyButTheDeploymentUpdates", "NobodyDeletes", "NamedAccounts", "NamedReaders"]
    error_message = "the token secret's policy lacks the deployment or the readers"
  }
  assert {
    condition     = toset([for replica in aws_secretsmanager_secret.token["default"].replica : replica.region]) == toset(["eu-west-1", "us-east-1"])
    error_message = "the token has no replicas"
  }
  assert {
    condition = [for statement in jsondecode(aws_iam_role_policy.function.policy).Statement : [statement.Sid, statement.Resource] if startswith(statement.Sid, "UseTheKey")] == [
      ["UseTheKeyForTheSecrets", var.kms_key_arn],
      ["UseTheKeysOfTheReplicas", ["arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"]],
    ]
    error_message = "the role may not use the keys"
  }
  assert {
    condition = [for statement in jsondecode(aws_iam_policy.consumer["default"].policy).Statement : [statement.Sid, statement.Resource]] == [
      ["ReadTheToken", [
        "arn:aws:secretsmanager:eu-north-1:123456789012:secret:mocked-a1b2c3",
        "arn:aws:secretsmanager:eu-west-1:123456789012:secret:mocked-a1b2c3",
        "arn:aws:secretsmanager:us-east-1:123456789012:secret:mocked-a1b2c3",
      ]],
      ["DecryptTheToken", var.kms_key_arn],
      ["DecryptTheTokenInUsEast1", "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"],
    ]
    error_message = "consumers may not read the token where they are"
  }
}

run "a_reader_elsewhere_is_a_condition_on_its_account" {
  variables {
    kms_key_arn         = "arn:aws:kms:eu-north-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    deletion_protection = false
    clients = { default = {
      reader_principals = ["arn:aws:iam::888888888888:role/one", "arn:aws:iam::888888888888:role/two", "arn:aws:iam::999999999999:root"]
    } }
  }

  assert {
    condition = [for statement in jsondecode(aws_secretsmanager_secret_policy.token["default"].policy).Statement : [statement.Sid, statement.Principal, try(statement.Condition, null)] if statement.Effect == "Allow"] == [
      ["NamedAccounts", { AWS = ["arn:aws:iam::999999999999:root"] }, null],
      ["NamedReaders", { AWS = ["arn:aws:iam::888888888888:root"] }, { ArnEquals = { "aws:PrincipalArn" = ["arn:aws:iam::888888888888:role/one", "arn:aws:iam::888888888888:role/two"] } }],
    ]
    error_message = "a role of another account is a principal, or its account is no condition"
  }
  assert {
    condition     = !strcontains(aws_secretsmanager_secret_policy.token["default"].policy, "DeleteSecret") && length(aws_secretsmanager_secret.token["default"].tags) == 0
    error_message = "a token secret is protected though nobody asked for it"
  }
}

run "a_client_that_is_no_longer_named" {
  command = plan

  override_data {
    target = data.aws_secretsmanager_secrets.protected
    values = { names = ["telenor-token/default/token", "telenor-token/shop/token", "telenor-token/shop/credentials-1"] }
  }

  expect_failures = [aws_cloudwatch_log_group.function]
}

run "a_runbook_of_your_own_and_no_dashboard" {
  variables {
    runbook_url = "https://wiki.example.com/telenor"
    dashboard   = false
  }

  assert {
    condition     = length(aws_cloudwatch_dashboard.token) == 0 && output.dashboard_name == null
    error_message = "there is a dashboard though nobody wants one"
  }
  assert {
    condition     = !strcontains(aws_iam_policy.operator.policy, "GetDashboard")
    error_message = "operators may see a dashboard that is not there"
  }
  assert {
    condition = alltrue([
      for alarm in concat(values(aws_cloudwatch_metric_alarm.client), values(aws_cloudwatch_metric_alarm.function), values(aws_cloudwatch_metric_alarm.revocations_pending), values(aws_cloudwatch_metric_alarm.token_expiry)) :
      strcontains(alarm.alarm_description, var.runbook_url)
    ])
    error_message = "an alarm does not name the runbook"
  }
}

run "subnets_a_boundary_and_a_processor" {
  variables {
    subnet_ids               = ["subnet-0a1b2c3d"]
    security_group_ids       = ["sg-0a1b2c3d"]
    permissions_boundary_arn = "arn:aws:iam::123456789012:policy/boundary"
    architecture             = "x86_64"
    tags                     = { team = "mobile" }
  }

  assert {
    condition     = aws_lambda_function.token.vpc_config[0].subnet_ids == toset(["subnet-0a1b2c3d"]) && aws_lambda_function.token.vpc_config[0].security_group_ids == toset(["sg-0a1b2c3d"])
    error_message = "the function is not in the subnets"
  }
  assert {
    condition = [for statement in jsondecode(aws_iam_role_policy.function.policy).Statement : [statement.Sid, statement.Effect] if strcontains(jsonencode(statement), "ec2:")] == [
      ["AttachToTheSubnets", "Allow"], ["NotByTheFunctionItself", "Deny"],
    ]
    error_message = "the role may not attach the function to the subnets, or the function itself may"
  }
  assert {
    condition     = aws_iam_role.function.permissions_boundary == var.permissions_boundary_arn && aws_iam_role.schedules.permissions_boundary == var.permissions_boundary_arn
    error_message = "a role has no boundary"
  }
  assert {
    condition     = aws_lambda_function.token.architectures == tolist(["x86_64"]) && aws_lambda_function.token.tags.team == "mobile"
    error_message = "the processor or a tag is missing"
  }
}

run "alarms_are_mailed_and_the_page_goes_its_own_way" {
  variables {
    alarm_email     = "us@example.com"
    alarm_topic_arn = "arn:aws:sns:eu-north-1:123456789012:theirs"
    pager_topic_arn = "arn:aws:sns:eu-north-1:123456789012:pager"
    runbook_url     = "https://wiki.example.com/telenor"
  }

  assert {
    condition     = strcontains(jsondecode(aws_cloudwatch_dashboard.token[0].dashboard_body).widgets[0].properties.markdown, var.runbook_url)
    error_message = "the dashboard does not name the runbook"
  }

  assert {
    condition     = aws_sns_topic_subscription.alarms[0].endpoint == "us@example.com" && length(aws_sns_topic.pager) == 0
    error_message = "the alarms are not mailed"
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.token_expiry["default"].alarm_actions == toset([var.pager_topic_arn])
    error_message = "the page does not go to the pager alone"
  }
  assert {
    condition = alltrue([
      for alarm in concat(values(aws_cloudwatch_metric_alarm.client), values(aws_cloudwatch_metric_alarm.function), values(aws_cloudwatch_metric_alarm.revocations_pending)) :
      alarm.alarm_actions == toset([var.alarm_topic_arn, aws_sns_topic.alarms[0].arn]) && alarm.ok_actions == alarm.alarm_actions
    ])
    error_message = "an alarm does not go to both places"
  }
  assert {
    condition     = output.untold_alarms == null
    error_message = "a warning is there although alarms reach somebody"
  }
}

run "a_pager_alone_is_told_so" {
  variables {
    pager_email = "us@example.com"
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.token_expiry["default"].alarm_actions == toset([aws_sns_topic.pager[0].arn]) && length(aws_cloudwatch_metric_alarm.client["default/RunsFailing"].alarm_actions) == 0
    error_message = "the page does not go to the pager, or another alarm does"
  }
  assert {
    condition     = output.untold_alarms == "WARNING: only TokenExpiryAlarm has a recipient. The other alarms have none."
    error_message = "the warning about the other alarms is missing"
  }
}

run "without_a_pager_the_page_goes_where_the_alarms_go" {
  variables {
    alarm_topic_arn = "arn:aws:sns:eu-north-1:123456789012:theirs"
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.token_expiry["default"].alarm_actions == toset([var.alarm_topic_arn])
    error_message = "the page goes nowhere"
  }
}

run "the_dashboard_shows_every_client_and_as_many_alarms_as_it_may" {
  variables {
    clients = { for number in range(17) : "client-${number}" => {} }
  }

  assert {
    condition     = length(jsondecode(aws_cloudwatch_dashboard.token[0].dashboard_body).widgets[1].properties.metrics) == 17
    error_message = "a client is missing"
  }
  assert {
    condition     = length(jsondecode(aws_cloudwatch_dashboard.token[0].dashboard_body).widgets[2].properties.alarms) == 100
    error_message = "there are more alarms than an alarm widget may show, or fewer"
  }
}
