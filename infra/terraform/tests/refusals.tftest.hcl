# Each validation, seen to refuse at plan time, with no call to AWS. A run costs a second, so what stands in different
# variables is refused together. tests/infra/terraform in the repository has what is refused of a client.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  artifact_path = "versions.tf"
}

run "no_client_and_an_authentication_alone" {
  command = plan

  variables {
    clients               = {}
    client_authentication = "client_secret_post"
  }

  expect_failures = [var.clients, var.client_authentication]
}

run "more_tokens_than_a_policy_holds" {
  command = plan

  variables {
    name    = "a-name-of-thirty-one-characters"
    clients = { for number in range(10, 50) : "a-client-of-thirty-one-signs-${number}" => {} }
  }

  expect_failures = [aws_iam_role.function]
}

run "credentials_longer_than_a_policy_holds" {
  command = plan

  variables {
    clients = { for number in range(16) : "client-${number}" => {
      credentials_secret_arn = "arn:aws:secretsmanager:eu-north-1:123456789012:secret:${join("", [for part in range(40) : "a-long-name"])}${number}-a1b2c3"
    } }
  }

  expect_failures = [aws_iam_role.function]
}

run "clients_that_are_a_list_and_a_token_url_without_tls" {
  command = plan

  variables {
    clients        = ["a"]
    token_url      = "http://login.example.com/token"
    revocation_url = "none"
  }

  expect_failures = [var.clients, var.token_url]
}

run "what_is_in_another_region" {
  command = plan

  variables {
    kms_key_arn           = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    previous_kms_key_arns = ["arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"]
    pager_topic_arn       = "arn:aws:sns:eu-west-1:123456789012:mine"
    alarm_topic_arn       = "arn:aws:sns:eu-west-1:123456789012:mine"
  }

  expect_failures = [aws_cloudwatch_log_group.function]
}

run "an_artifact_that_is_not_there" {
  command = plan

  variables {
    artifact_path = "build/no-such.zip"
  }

  expect_failures = [aws_cloudwatch_log_group.function]
}

run "two_artifacts_and_long_urls" {
  command = plan

  variables {
    artifact_s3      = { bucket = "a-bucket", key = "a.zip", object_version = null }
    telenor_base_url = "https://api.telenor.no/${join("", [for part in range(40) : "a-long-url"])}"
    verify_url       = "https://api.telenor.no/${join("", [for part in range(40) : "a-long-url"])}"
    token_url        = "https://api.telenor.no/${join("", [for part in range(40) : "a-long-url"])}"
    revocation_url   = "none"
    runbook_url      = "https://api.telenor.no/${join("", [for part in range(50) : "a-long-url"])}"
  }

  expect_failures = [
    var.artifact_path, var.telenor_base_url, var.verify_url, var.token_url, var.runbook_url,
  ]
}

run "no_artifact" {
  command = plan

  variables {
    artifact_path = null
  }

  expect_failures = [var.artifact_path]
}

run "words_of_another_shape" {
  command = plan

  variables {
    name                     = "1token"                # begins with a digit
    telenor_base_url         = "http://api.telenor.no" # without TLS
    verify_url               = "http://api.telenor.no/me"
    revocation_url           = "None"
    schedule_minutes         = 3    # leaves the page no time
    grace_seconds            = 1201 # likewise
    renew_at_fraction        = 1
    kms_key_arn              = "arn:aws:kms:eu-north-1:123456789012:alias/mine"
    previous_kms_key_arns    = ["arn:aws:kms:eu-north-1:123456789012:alias/mine"]
    runbook_url              = "http://wiki.example.com"
    permissions_boundary_arn = "arn:aws:iam::123456789012:role/mine"
    deployment_role_arn      = "arn:aws:iam::123456789012:user/me"
    security_group_ids       = ["0a1b2c3d"]
    pager_email              = "me"
    pager_topic_arn          = "arn:aws:sqs:eu-north-1:123456789012:mine"
    alarm_email              = "a@b@c"
    alarm_topic_arn          = "mine"
    log_retention_days       = 100
    architecture             = "riscv64"
  }

  expect_failures = [
    var.name, var.telenor_base_url, var.verify_url, var.revocation_url, var.schedule_minutes, var.grace_seconds,
    var.renew_at_fraction, var.kms_key_arn, var.previous_kms_key_arns, var.runbook_url, var.permissions_boundary_arn,
    var.deployment_role_arn,
    var.security_group_ids, var.pager_email, var.pager_topic_arn, var.alarm_email, var.alarm_topic_arn,
    var.log_retention_days, var.architecture,
  ]
}

run "too_much_too_little_and_a_subnet_that_is_none" {
  command = plan

  variables {
    name                  = "a2345678901234567890123456789012" # a character too many
    token_url             = "https://login.example.com/token"
    revocation_url        = "none"
    client_authentication = "private_key_jwt"
    telenor_base_url      = "https://api.telenor.no?x=1"
    grace_seconds         = -1
    renew_at_fraction     = 0
    subnet_ids            = ["vpc-0a1b2c3d"]
    security_group_ids    = ["sg-0a1b2c3d"]
  }

  expect_failures = [
    var.name, var.telenor_base_url, var.client_authentication, var.grace_seconds, var.renew_at_fraction, var.subnet_ids,
  ]
}

run "parts_of_a_second_subnets_alone_and_a_token_url_alone" {
  command = plan

  variables {
    grace_seconds     = 0.5
    renew_at_fraction = 0.99999999999999999999 # 1 as a float
    subnet_ids        = ["subnet-0a1b2c3d"]
    token_url         = "https://login.example.com/token"
  }

  expect_failures = [var.grace_seconds, var.renew_at_fraction, var.subnet_ids, var.token_url]
}

run "security_groups_alone_and_a_revocation_url_alone" {
  command = plan

  variables {
    security_group_ids = ["sg-0a1b2c3d"]
    revocation_url     = "none"
  }

  expect_failures = [var.subnet_ids, var.token_url]
}
