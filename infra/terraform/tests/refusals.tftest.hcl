# Each validation, seen to refuse at plan time, with no call to AWS. A run costs a second, so what stands in different
# variables is refused together.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  artifact_path = "versions.tf"
}

run "no_client" {
  command = plan

  variables {
    clients = {}
  }

  expect_failures = [var.clients]
}

run "a_client_in_capitals" {
  command = plan

  variables {
    clients = { B2B = {} }
  }

  expect_failures = [var.clients]
}

run "a_client_with_too_long_a_name" {
  command = plan

  variables {
    clients = { a23456789012345678901234567890123 = {} }
  }

  expect_failures = [var.clients]
}

run "credentials_without_their_last_six_characters" {
  command = plan

  variables {
    clients = { a = { credentials_secret_arn = "arn:aws:secretsmanager:eu-north-1:123456789012:secret:mine" } }
  }

  expect_failures = [var.clients]
}

run "credentials_with_a_wildcard" {
  command = plan

  variables {
    clients = { a = { credentials_secret_arn = "arn:aws:secretsmanager:eu-north-1:123456789012:secret:*-a1b2c3" } }
  }

  expect_failures = [var.clients]
}

run "two_clients_with_the_same_credentials" {
  command = plan

  variables {
    clients = {
      a = { credentials_secret_arn = "arn:aws:secretsmanager:eu-north-1:123456789012:secret:mine-a1b2c3" }
      b = { credentials_secret_arn = "arn:aws:secretsmanager:eu-north-1:123456789012:secret:mine-a1b2c3" }
    }
  }

  expect_failures = [var.clients]
}

run "an_alias_as_the_key_of_credentials" {
  command = plan

  variables {
    clients = { a = {
      credentials_secret_arn  = "arn:aws:secretsmanager:eu-north-1:123456789012:secret:mine-a1b2c3"
      credentials_kms_key_arn = "arn:aws:kms:eu-north-1:123456789012:alias/mine"
    } }
  }

  expect_failures = [var.clients]
}

run "a_key_of_credentials_without_them" {
  command = plan

  variables {
    clients = { a = { credentials_kms_key_arn = "arn:aws:kms:eu-north-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab" } }
  }

  expect_failures = [var.clients]
}

run "a_scope_with_two_spaces" {
  command = plan

  variables {
    clients = { a = { scope = "one  two" } }
  }

  expect_failures = [var.clients]
}

run "a_grace_of_a_client_beyond_the_page" {
  command = plan

  variables {
    clients = { a = { grace_seconds = 1201 } }
  }

  expect_failures = [var.clients]
}

run "a_grace_of_a_client_in_parts_of_a_second" {
  command = plan

  variables {
    clients = { a = { grace_seconds = 0.5 } }
  }

  expect_failures = [var.clients]
}

run "a_wildcard_as_a_reader" {
  command = plan

  variables {
    kms_key_arn = "arn:aws:kms:eu-north-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    clients     = { a = { reader_principals = ["*"] } }
  }

  expect_failures = [var.clients]
}

run "readers_elsewhere_without_a_key" {
  command = plan

  variables {
    clients = { a = { reader_principals = ["arn:aws:iam::999999999999:root"] } }
  }

  expect_failures = [var.clients]
}

run "a_replica_in_no_region" {
  command = plan

  variables {
    clients = { a = { replica_regions = [{ region = "Ireland" }] } }
  }

  expect_failures = [var.clients]
}

run "a_replica_twice" {
  command = plan

  variables {
    clients = { a = { replica_regions = [{ region = "eu-west-1" }, { region = "eu-west-1" }] } }
  }

  expect_failures = [var.clients]
}

run "a_replica_with_a_key_of_another_region" {
  command = plan

  variables {
    clients = { a = { replica_regions = [{ region = "eu-west-1", kms_key_arn = "arn:aws:kms:eu-north-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab" }] } }
  }

  expect_failures = [var.clients]
}

run "a_replica_where_the_secret_is" {
  command = plan

  variables {
    clients = { a = { replica_regions = [{ region = "eu-north-1" }] } }
  }

  expect_failures = [aws_secretsmanager_secret.token["a"]]
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

run "words_of_another_shape" {
  command = plan

  variables {
    name                     = "1token" # begins with a digit
    artifact_path            = "build/no-such.zip"
    telenor_base_url         = "http://api.telenor.no" # without TLS
    verify_url               = "http://api.telenor.no/me"
    schedule_minutes         = 3    # leaves the page no time
    grace_seconds            = 1201 # likewise
    renew_at_fraction        = 1
    kms_key_arn              = "arn:aws:kms:eu-north-1:123456789012:alias/mine"
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
    var.name, var.artifact_path, var.telenor_base_url, var.verify_url, var.schedule_minutes, var.grace_seconds,
    var.renew_at_fraction, var.kms_key_arn, var.permissions_boundary_arn, var.deployment_role_arn,
    var.security_group_ids, var.pager_email, var.pager_topic_arn, var.alarm_email, var.alarm_topic_arn,
    var.log_retention_days, var.architecture,
  ]
}

run "too_much_too_little_and_a_subnet_that_is_none" {
  command = plan

  variables {
    name               = "a2345678901234567890123456789012" # a character too many
    telenor_base_url   = "https://api.telenor.no?x=1"
    grace_seconds      = -1
    renew_at_fraction  = 0
    subnet_ids         = ["vpc-0a1b2c3d"]
    security_group_ids = ["sg-0a1b2c3d"]
  }

  expect_failures = [var.name, var.telenor_base_url, var.grace_seconds, var.renew_at_fraction, var.subnet_ids]
}

run "parts_of_a_second_and_subnets_alone" {
  command = plan

  variables {
    grace_seconds = 0.5
    subnet_ids    = ["subnet-0a1b2c3d"]
  }

  expect_failures = [var.grace_seconds, var.subnet_ids]
}

run "security_groups_alone" {
  command = plan

  variables {
    security_group_ids = ["sg-0a1b2c3d"]
  }

  expect_failures = [var.subnet_ids]
}
