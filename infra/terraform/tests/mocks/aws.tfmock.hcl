# What AWS would answer: enough of it that the provider takes it. All secrets have the same ARN here; a test that tells
# two apart overrides it.

mock_data "aws_region" {
  defaults = { name = "eu-north-1" }
}

mock_data "aws_caller_identity" {
  defaults = { account_id = "123456789012", arn = "arn:aws:iam::123456789012:user/mocked" }
}

mock_data "aws_secretsmanager_secrets" {
  defaults = { names = [] }
}

mock_resource "aws_iam_role" {
  defaults = { arn = "arn:aws:iam::123456789012:role/mocked" }
}

mock_resource "aws_iam_policy" {
  defaults = { arn = "arn:aws:iam::123456789012:policy/mocked" }
}

mock_resource "aws_secretsmanager_secret" {
  defaults = { arn = "arn:aws:secretsmanager:eu-north-1:123456789012:secret:mocked-a1b2c3" }
}

mock_resource "aws_lambda_function" {
  defaults = { arn = "arn:aws:lambda:eu-north-1:123456789012:function:telenor-token" }
}

mock_resource "aws_cloudwatch_log_group" {
  defaults = {
    name = "/aws/lambda/telenor-token-20261124000000000000000001"
    arn  = "arn:aws:logs:eu-north-1:123456789012:log-group:/aws/lambda/telenor-token-20261124000000000000000001"
  }
}

mock_resource "aws_cloudwatch_event_rule" {
  defaults = { arn = "arn:aws:events:eu-north-1:123456789012:rule/mocked" }
}

mock_resource "aws_sqs_queue" {
  defaults = {
    arn = "arn:aws:sqs:eu-north-1:123456789012:telenor-token-undelivered"
    url = "https://sqs.eu-north-1.amazonaws.com/123456789012/telenor-token-undelivered"
  }
}

mock_resource "aws_sns_topic" {
  defaults = { arn = "arn:aws:sns:eu-north-1:123456789012:mocked" }
}

mock_resource "aws_cloudwatch_metric_alarm" {
  defaults = { arn = "arn:aws:cloudwatch:eu-north-1:123456789012:alarm:mocked" }
}
