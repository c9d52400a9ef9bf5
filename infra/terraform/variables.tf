# Telenor's clients

variable "name" {
  description = "Names the job: the function, the dimension service of every metric, and the beginning of every other name. Two instances of this module in one region need two names, and neither name may begin with the other and a hyphen."
  type        = string
  default     = "telenor-token"
  nullable    = false

  validation {
    # A schedule's name has at most 64 characters: these, a hyphen, and a client's 32.
    condition     = can(regex("^[A-Za-z][A-Za-z0-9-]{0,30}$", var.name))
    error_message = "name is not 1 to 31 letters, digits and hyphens that begin with a letter."
  }
}

variable "artifact_path" {
  description = "The zip file that `make build` writes: build/telenor-token.zip. Name this or artifact_s3."
  type        = string
  default     = null

  validation {
    condition     = (var.artifact_path == null) != (var.artifact_s3 == null)
    error_message = "name one of artifact_path and artifact_s3."
  }
}

variable "artifact_s3" {
  description = "The same zip file in a bucket of this region. Terraform sees no new content under an old key: name another key or object_version, which is null in a bucket without versions."
  # No optional attribute: Terraform silently drops one that is misspelled.
  type    = object({ bucket = string, key = string, object_version = string })
  default = null
}

variable "clients" {
  description = <<-EOT
    The clients, by name. `{}` as a client's value takes every default:
    * `credentials_secret_arn`: whole ARN of an existing secret of this region with client_id and client_secret. Without it the module creates one for you to fill in.
    * `credentials_kms_key_arn`: the customer-managed key of that existing secret.
    * `scope`: the scope that the job requests. Without it the job requests none.
    * `token_parameters`: further form fields of a token request to `token_url`, such as `audience=a&resource=b`.
    * `grace_seconds`: this client's value instead of the variable `grace_seconds`.
    * `reader_principals`: ARNs of roles, users or accounts elsewhere that may read the token; they need `kms_key_arn`. In this account attach the output `consumer_policy_arn`.
    * `replica_regions`: a list of other regions that get a copy of the token, each `{ region = "eu-west-1" }` and optionally `kms_key_arn`, a customer-managed key of that region.
    * `deletion_protection`: this client's value instead of the variable `deletion_protection`.
  EOT
  # Not an object type: Terraform silently drops attributes that an object type does not have. checks.tf checks them.
  type = any
  default = {
    default = {}
  }
  nullable = false

  validation {
    condition     = can(keys(var.clients)) && try(length(var.clients) > 0, false)
    error_message = "clients is empty: name at least one, for example { default = {} }."
  }
}

variable "telenor_base_url" {
  description = "Base URL of Telenor's API. Change it for a private path or a gateway of your own. Unused with another server."
  type        = string
  default     = "https://api.telenor.no"
  nullable    = false

  validation {
    condition     = length(var.telenor_base_url) <= 400 && can(regex("^(https://[A-Za-z0-9_-]{1,63}(\\.[A-Za-z0-9_-]{1,63})*|http://(127\\.0\\.0\\.1|localhost))(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?(/[!$-&(->@-\\[\\]-~]*)?$", var.telenor_base_url))
    error_message = "telenor_base_url is not an https URL of ASCII, of 400 characters at most, with a host of labels, a port from 1 to 65535 if any, and no user, query and fragment."
  }
}

variable "verify_url" {
  description = "The job tries each new token here, and in each run the published one. 401 or 403 means inactive. Empty tries none."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = length(var.verify_url) <= 400 && can(regex("^$|^(https://[A-Za-z0-9_-]{1,63}(\\.[A-Za-z0-9_-]{1,63})*|http://(127\\.0\\.0\\.1|localhost))(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?(/[!$-&(->@-\\[\\]-~]*)?(\\?[!$-&(-\\[\\]-~]*)?$", var.verify_url))
    error_message = "verify_url is not an https URL of ASCII, of 400 characters at most, with a host of labels, a port from 1 to 65535 if any, and no user and fragment. Leave it empty to try nothing."
  }
}

# Another authorization server than Telenor's

variable "token_url" {
  description = "Token endpoint of an OAuth 2 server other than Telenor's (RFC 6749). Empty means Telenor."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = length(var.token_url) <= 400 && can(regex("^$|^(https://[A-Za-z0-9_-]{1,63}(\\.[A-Za-z0-9_-]{1,63})*|http://(127\\.0\\.0\\.1|localhost))(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?(/[!$-&(->@-\\[\\]-~]*)?(\\?[!$-&(-\\[\\]-~]*)?$", var.token_url))
    error_message = "token_url is not an https URL of ASCII, of 400 characters at most, with a host of labels, a port from 1 to 65535 if any, and no user and fragment. Leave it empty for Telenor."
  }
  validation {
    condition     = var.token_url == "" || var.revocation_url != ""
    error_message = "token_url needs revocation_url. Name that server's revocation endpoint, or none if it has none."
  }
  validation {
    # Here and not with revocation_url, since two variables cannot look at each other.
    condition     = var.token_url != "" || var.revocation_url == ""
    error_message = "revocation_url needs token_url. Name both for another server, or neither for Telenor."
  }
}

variable "revocation_url" {
  description = "Revocation endpoint of that server (RFC 7009), or none if it cannot revoke access tokens."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = length(var.revocation_url) <= 400 && can(regex("^$|^none$|^(https://[A-Za-z0-9_-]{1,63}(\\.[A-Za-z0-9_-]{1,63})*|http://(127\\.0\\.0\\.1|localhost))(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?(/[!$-&(->@-\\[\\]-~]*)?(\\?[!$-&(-\\[\\]-~]*)?$", var.revocation_url))
    error_message = "revocation_url is neither none nor an https URL of ASCII, of 400 characters at most, with a host of labels, a port from 1 to 65535 if any, and no user and fragment."
  }
}

variable "client_authentication" {
  description = "How the job authenticates at token_url: client_secret_basic or client_secret_post. Empty means client_secret_basic."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = contains(["", "client_secret_basic", "client_secret_post"], var.client_authentication)
    error_message = "client_authentication is neither client_secret_basic nor client_secret_post."
  }
  validation {
    condition     = var.client_authentication == "" || var.token_url != ""
    error_message = "client_authentication needs token_url. Telenor accepts one kind alone."
  }
}

# Rotation

variable "schedule_minutes" {
  description = "Minutes between two runs of a client: 1, 2 or 5. Most runs only make one call."
  type        = number
  default     = 5
  nullable    = false

  validation {
    # TokenExpiryAlarm needs three readings before a consumer has less than the grace period. A longer interval leaves no
    # time for them.
    condition     = contains([1, 2, 5], var.schedule_minutes)
    error_message = "schedule_minutes is not 1, 2 or 5."
  }
}

variable "grace_seconds" {
  description = "Seconds that a superseded token stays valid. Use a minute more than the longest cache of any consumer."
  type        = number
  default     = 600
  nullable    = false

  validation {
    # With a longer one, a token of an hour would expire before the alarm can fire.
    condition     = var.grace_seconds >= 0 && var.grace_seconds <= 1200 && floor(var.grace_seconds) == var.grace_seconds
    error_message = "grace_seconds is not a whole number from 0 to 1200."
  }
}

variable "renew_at_fraction" {
  description = "Renew a token after this fraction of its lifetime."
  type        = number
  default     = 0.33
  nullable    = false

  validation {
    # A number closer to 0 or to 1 could be rounded to it, which the job refuses.
    condition     = var.renew_at_fraction >= 0.000001 && var.renew_at_fraction <= 0.999999
    error_message = "renew_at_fraction is not a number from 0.000001 to 0.999999, such as 0.33."
  }
}

# Permissions and keys

variable "kms_key_arn" {
  description = "A customer-managed key of this region for the secrets that the module creates. Empty uses the key aws/secretsmanager."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^$|^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/(mrk-)?[0-9a-f-]{32,36}$", var.kms_key_arn))
    error_message = "kms_key_arn is not the whole ARN of a key. The ARN of an alias does not work."
  }
}

variable "previous_kms_key_arns" {
  description = "Further keys with which the job and its consumers may decrypt. During a change of the key: the old one and the new one."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.previous_kms_key_arns : can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/(mrk-)?[0-9a-f-]{32,36}$", arn))])
    error_message = "previous_kms_key_arns are not whole ARNs of keys. The ARN of an alias does not work."
  }
}

variable "deletion_protection" {
  description = "Refuse to delete token secrets. Before you remove or rename a client, apply with false here or in the client."
  type        = bool
  default     = true
  nullable    = false
}

variable "permissions_boundary_arn" {
  description = "A permissions boundary for both roles. Empty sets none."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^$|^arn:aws[a-z-]*:iam::([0-9]{12}|aws):policy/[A-Za-z0-9_+=,.@/-]+$", var.permissions_boundary_arn))
    error_message = "permissions_boundary_arn is not the whole ARN of a managed policy."
  }
}

variable "deployment_role_arn" {
  description = "The role that applies this configuration. If it is set, nobody else may call UpdateSecret on the token secrets."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^$|^arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]+$", var.deployment_role_arn))
    error_message = "deployment_role_arn is not the whole ARN of a role."
  }
}

# Network

variable "subnet_ids" {
  description = "Subnets for the function, if the server allow-lists its address. Without them it is outside any VPC."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for id in var.subnet_ids : can(regex("^subnet-[0-9a-f]+$", id))])
    error_message = "subnet_ids are not ids of subnets."
  }
  validation {
    condition     = length(var.subnet_ids) == 0 || length(var.security_group_ids) > 0
    error_message = "subnet_ids needs security_group_ids. Name at least one that allows outbound HTTPS."
  }
  validation {
    # Here and not with security_group_ids, since two variables cannot look at each other.
    condition     = length(var.subnet_ids) > 0 || length(var.security_group_ids) == 0
    error_message = "security_group_ids does nothing without subnet_ids. Name the subnets too, or neither."
  }
}

variable "security_group_ids" {
  description = "Security groups for the function, if it has subnets. They must allow outbound HTTPS."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for id in var.security_group_ids : can(regex("^sg-[0-9a-f]+$", id))])
    error_message = "security_group_ids are not ids of security groups."
  }
}

# Operation

variable "pager_email" {
  description = "E-mail address for TokenExpiryAlarm of each client, the only alarm that pages. Open the confirmation link once."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^$|^[^\\s@]+@[^\\s@]+$", var.pager_email))
    error_message = "pager_email is not an e-mail address."
  }
}

variable "pager_topic_arn" {
  description = "An existing SNS topic that pages. Without it and pager_email, TokenExpiryAlarm goes to the recipients of the other alarms."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^$|^arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256}$", var.pager_topic_arn))
    error_message = "pager_topic_arn is not the whole ARN of a topic."
  }
}

variable "alarm_email" {
  description = "E-mail address for the other alarms. Open the confirmation link once."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^$|^[^\\s@]+@[^\\s@]+$", var.alarm_email))
    error_message = "alarm_email is not an e-mail address."
  }
}

variable "alarm_topic_arn" {
  description = "An existing SNS topic for the other alarms."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^$|^arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256}$", var.alarm_topic_arn))
    error_message = "alarm_topic_arn is not the whole ARN of a topic."
  }
}

variable "runbook_url" {
  description = "URL of your runbook. Every alarm and the dashboard name it. Empty names docs/runbook.md."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = length(var.runbook_url) <= 512 && can(regex("^$|^https://[!#-\\[\\]-~]+$", var.runbook_url))
    error_message = "runbook_url is not an https URL of 512 characters at most."
  }
}

variable "dashboard" {
  description = "Whether to create the dashboard. For one client it costs as much as everything else."
  type        = bool
  default     = true
  nullable    = false
}

variable "routine_metrics" {
  description = "Whether to send the metrics that no alarm needs and that a healthy job sends every hour. They cost 0.90 USD a month for each client."
  type        = bool
  default     = true
  nullable    = false
}

variable "log_retention_days" {
  description = "Days that the function's log is kept."
  type        = number
  default     = 90
  nullable    = false

  validation {
    # The values that CloudWatch Logs accepts.
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days is not a number of days that CloudWatch Logs accepts, such as 30, 90 or 365."
  }
}

variable "architecture" {
  description = "The processor: arm64 or x86_64. The artifact is pure Python and runs on both."
  type        = string
  default     = "arm64"
  nullable    = false

  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "architecture is not arm64 or x86_64."
  }
}

variable "tags" {
  description = "Tags for every resource that can have tags. Put no secret into them."
  type        = map(string)
  default     = {}
  nullable    = false
}
