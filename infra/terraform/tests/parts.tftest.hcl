mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  artifact_path = "versions.tf"
}

run "x" {
  command = apply
}
