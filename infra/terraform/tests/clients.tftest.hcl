# A client comes, a client goes: what is not theirs stays. tests/infra/terraform in the repository reads these plans whole.

mock_provider "aws" {
  source = "./tests/mocks"

  override_resource {
    target = aws_secretsmanager_secret.token["a"]
    values = { arn = "arn:aws:secretsmanager:eu-north-1:123456789012:secret:telenor-token/a/token-aaaaaa" }
  }
}

variables {
  artifact_path = "versions.tf"
}

run "two" {
  variables {
    clients = { a = {}, b = { grace_seconds = 300 } }
  }
}

run "one_comes" {
  command = plan

  variables {
    clients = { a = {}, b = { grace_seconds = 300 }, aa = {} }
  }
}

run "one_goes" {
  command = plan

  variables {
    clients = { b = { grace_seconds = 300 } }
  }
}
