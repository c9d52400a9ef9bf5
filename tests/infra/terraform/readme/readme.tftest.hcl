mock_provider "aws" {
  source = "./telenor-token/infra/terraform/tests/mocks"
}

run "the_readme" {
  command = plan

  assert {
    condition     = length(module.telenor_token.clients) == 2
    error_message = "it deploys other clients"
  }
}
