terraform {
  # Validations that look at other variables.
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source = "hashicorp/aws"
      # Tried with 5.100. Version 6 takes attributes for deprecated that version 5 has in no other form.
      version = ">= 5.100, < 6.0"
    }
  }
}
