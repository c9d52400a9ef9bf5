# Errors that refuse a plan before anything changes. Each sentence names its client. The preconditions are at the log
# group, since nearly everything else depends on it.

# For checks only: no name and no policy depends on it (main.tf says why).
data "aws_region" "current" {}
data "aws_caller_identity" "current" {}

# The token secrets of this module under deletion_protection, including those of removed clients. A replica from another
# region has that region as the tag's value.
data "aws_secretsmanager_secrets" "protected" {
  filter {
    name   = "name"
    values = ["${var.name}/"]
  }
  filter {
    name   = "tag-key"
    values = [local.protection_tag]
  }
  filter {
    name   = "tag-value"
    values = [data.aws_region.current.name]
  }
}

locals {
  protection_tag = "telenor-token:deletion-protection"

  client_attributes = [
    "credentials_secret_arn", "credentials_kms_key_arn", "scope", "token_parameters", "grace_seconds",
    "reader_principals", "replica_regions", "deletion_protection",
  ]
  key_arn = "arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/(mrk-)?[0-9a-f-]{32,36}"
  # Of ASCII alone: the job refuses bytes that are no UTF-8.
  form_field = "[A-Za-z0-9._-]+=([A-Za-z0-9*+,./:@_~-]|%[2-7][0-9A-Fa-f])+"

  refusals_by_client = {
    for name, client in local.clients : name => concat(
      [for attribute in try(keys(var.clients[name]), []) :
        "${attribute} is not an attribute of a client. There are ${join(", ", local.client_attributes)}."
        if !contains(local.client_attributes, attribute)
      ],
      [for refusal in [
        {
          is_wrong = !can(regex("^[a-z0-9-]{1,32}$", name))
          sentence = "a name is 1 to 32 lower-case letters, digits and hyphens."
        },
        {
          is_wrong = !can(keys(var.clients[name]))
          sentence = "its value is not an object. {} takes every default."
        },
        {
          is_wrong = !alltrue([
            for attribute in ["credentials_secret_arn", "credentials_kms_key_arn", "scope", "token_parameters"] :
            can(tostring(try(var.clients[name][attribute], null)))
          ])
          sentence = "credentials_secret_arn, credentials_kms_key_arn, scope and token_parameters are strings."
        },
        {
          # The six characters that Secrets Manager has added: an ARN without them matches in no policy.
          is_wrong = !can(regex("^$|^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]+-[A-Za-z0-9]{6}$", client.credentials_secret_arn))
          sentence = "credentials_secret_arn is not the whole ARN of a secret, with its last six characters. Leave it out, and the module creates one."
        },
        {
          is_wrong = can(regex(":secret:${var.name}/[a-z0-9-]+/token-[A-Za-z0-9]{6}$", client.credentials_secret_arn))
          sentence = "credentials_secret_arn is a token secret of this module. Name the secret with client_id and client_secret."
        },
        {
          is_wrong = !can(regex("^$|^${local.key_arn}$", client.credentials_kms_key_arn))
          sentence = "credentials_kms_key_arn is not the whole ARN of a key. The ARN of an alias does not work."
        },
        {
          is_wrong = client.credentials_kms_key_arn != "" && client.credentials_secret_arn == ""
          sentence = "credentials_kms_key_arn is the key of the secret that credentials_secret_arn names. Name that secret too. A secret that the module creates uses kms_key_arn."
        },
        {
          is_wrong = !can(regex("^$|^[!#-\\[\\]-~]+( [!#-\\[\\]-~]+)*$", client.scope))
          sentence = "scope is not words with one space between them."
        },
        {
          is_wrong = length(client.scope) > 512 || length(client.token_parameters) > 512
          sentence = "scope and token_parameters have 512 characters at most each."
        },
        {
          is_wrong = !can(regex("^$|^${local.form_field}(&${local.form_field})*$", client.token_parameters))
          sentence = "token_parameters is not a string of form-encoded fields such as audience=a&resource=b."
        },
        {
          # A name cannot be percent-encoded, so no other spelling of these is accepted.
          is_wrong = !alltrue([
            for field in split("&", client.token_parameters) :
            !contains(["grant_type", "scope", "client_id", "client_secret"], split("=", field)[0])
          ])
          sentence = "token_parameters has a field that the job sets: grant_type, scope, client_id or client_secret."
        },
        {
          is_wrong = client.token_parameters != "" && var.token_url == ""
          sentence = "token_parameters needs token_url. A request to Telenor has no further fields."
        },
        {
          # With a longer one, a token of an hour would expire before the alarm can fire.
          is_wrong = (client.grace_seconds == null
            ? try(var.clients[name].grace_seconds, null) != null
            : client.grace_seconds < 0 || client.grace_seconds > 1200 || floor(client.grace_seconds) != client.grace_seconds
          )
          sentence = "grace_seconds is not a whole number from 0 to 1200."
        },
        {
          is_wrong = !can(tobool(try(var.clients[name].deletion_protection, null)))
          sentence = "deletion_protection is not true or false."
        },
        {
          is_wrong = (try(var.clients[name].reader_principals, null) != null && !can([for principal in var.clients[name].reader_principals : tostring(principal)])) || !alltrue([
            for principal in client.reader_principals :
            can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:(root|(role|user)/[A-Za-z0-9_+=.@/-]+)$", principal))
          ])
          sentence = "reader_principals are not whole ARNs of roles, users or accounts."
        },
        {
          is_wrong = length(client.reader_principals) > 0 && var.kms_key_arn == ""
          sentence = "reader_principals need kms_key_arn, since no other account can use the key aws/secretsmanager. For readers in this account leave it out and attach the output consumer_policy_arn to them."
        },
        {
          is_wrong = (try(var.clients[name].replica_regions, null) != null && !can([for replica in var.clients[name].replica_regions : tostring(replica.region)])) || !alltrue([
            for replica in client.replica_regions : can(regex("^[a-z]{2,4}(-[a-z]+)+-[0-9]+$", replica.region))
          ])
          sentence = "replica_regions has an invalid region. Write it as { region = \"eu-west-1\" }."
        },
        {
          is_wrong = !alltrue([
            for attribute in try(flatten([for replica in var.clients[name].replica_regions : try(keys(replica), [])]), []) :
            contains(["region", "kms_key_arn"], attribute)
          ])
          sentence = "a replica has an attribute other than region and kms_key_arn."
        },
        {
          is_wrong = length(distinct([for replica in client.replica_regions : replica.region])) != length(client.replica_regions)
          sentence = "replica_regions names a region twice."
        },
        {
          is_wrong = !alltrue(try([
            for replica in var.clients[name].replica_regions : can(tostring(try(replica.kms_key_arn, null)))
            ], [])) || !alltrue([
            for replica in client.replica_regions :
            can(regex("^$|^${replace(local.key_arn, "[a-z0-9-]+", replica.region)}$", replica.kms_key_arn))
          ])
          sentence = "a replica's kms_key_arn is not the whole ARN of a key in the replica's region."
        },
      ] : refusal.sentence if refusal.is_wrong],
      # Telenor can return the same token to both, and each job would revoke the other's.
      [for other, others in local.clients :
        "it has the same credentials_secret_arn as ${other}. Each client needs credentials of its own."
        if other != name && client.credentials_secret_arn != "" && others.credentials_secret_arn == client.credentials_secret_arn
      ],
      [for other in keys(local.created_credentials) :
        "credentials_secret_arn is the secret that this module made for ${other}. Each client needs credentials of its own."
        if can(regex(":secret:${var.name}/${other}/credentials-", client.credentials_secret_arn))
      ],
    )
  }
  refusals = flatten([for name, sentences in local.refusals_by_client : [for sentence in sentences : "clients: ${name}: ${sentence}"]])

  # Whole ARNs by the name that a refusal uses.
  arns_of_this_region = merge(
    { for variable, arn in {
      kms_key_arn     = var.kms_key_arn
      alarm_topic_arn = var.alarm_topic_arn
      pager_topic_arn = var.pager_topic_arn
    } : variable => arn },
    { for index, arn in var.previous_kms_key_arns : "previous_kms_key_arns[${index}]" => arn },
    merge([for name, client in local.clients : {
      "clients: ${name}: credentials_secret_arn"  = client.credentials_secret_arn
      "clients: ${name}: credentials_kms_key_arn" = client.credentials_kms_key_arn
    }]...),
  )
  own_partition = split(":", data.aws_caller_identity.current.arn)[1]
  refusals_of_region = concat(
    [for what, arn in local.arns_of_this_region :
      "${what} is in ${split(":", arn)[3]}, and this module's region is ${data.aws_region.current.name}. Name one of ${data.aws_region.current.name}."
      if can(split(":", arn)[3]) && try(split(":", arn)[3], "") != data.aws_region.current.name
    ],
    [for arn in [var.permissions_boundary_arn] :
      "permissions_boundary_arn is not a policy of account ${data.aws_caller_identity.current.account_id} in the partition ${local.own_partition}, nor one of AWS. Name one of them."
      if !can(regex("^$|^arn:${local.own_partition}:iam::(${data.aws_caller_identity.current.account_id}|aws):", arn))
    ],
    [for arn in [var.deployment_role_arn] :
      "deployment_role_arn is not a role of account ${data.aws_caller_identity.current.account_id} in the partition ${local.own_partition}. Name a role of that account."
      if !can(regex("^$|^arn:${local.own_partition}:iam::${data.aws_caller_identity.current.account_id}:", arn))
    ],
    # Those that are not whole ARNs have another refusal.
    [for name, client in local.clients :
      "clients: ${name}: credentials_secret_arn is of another account, and no other account can use the key aws/secretsmanager. Name credentials_kms_key_arn too."
      if client.credentials_kms_key_arn == "" && try(split(":", client.credentials_secret_arn)[4], data.aws_caller_identity.current.account_id) != data.aws_caller_identity.current.account_id
    ],
    [for name, client in local.clients :
      "clients: ${name}: reader_principals are not all in the partition ${local.own_partition}. Name principals of that partition."
      if !alltrue([for principal in client.reader_principals : try(split(":", principal)[1], local.own_partition) == local.own_partition])
    ],
    [for name, client in local.clients :
      "clients: ${name}: it has a replica in ${data.aws_region.current.name}, where the secret itself is. Leave that region out."
      if contains([for replica in client.replica_regions : replica.region], data.aws_region.current.name)
    ],
  )

  refusals_to_delete = [
    for secret in data.aws_secretsmanager_secrets.protected.names :
    "clients: ${split("/", secret)[1]}: it is missing, and its token secret is protected. Add it again. To remove it, apply once with { deletion_protection = false } as its value, and then remove it."
    if can(regex("^${var.name}/[a-z0-9-]+/token$", secret)) && !contains(keys(local.clients), try(split("/", secret)[1], ""))
  ]

  # Provider 5.100 changes nothing if no replica is left.
  replicas_left = [
    for name, secret in aws_secretsmanager_secret.token :
    "clients: ${name}: the copies of its token in ${join(" and ", setsubtract(secret.replica[*].region, [for replica in local.clients[name].replica_regions : replica.region]))} still exist, though replica_regions is empty. Remove them: aws secretsmanager remove-regions-from-replication --region ${local.region} --secret-id ${secret.arn} --remove-replica-regions ${join(" ", setsubtract(secret.replica[*].region, [for replica in local.clients[name].replica_regions : replica.region]))}"
    if length(local.clients[name].replica_regions) == 0 && length(secret.replica) > 0
  ]
}

check "no_copy_is_left" {
  assert {
    condition     = length(local.replicas_left) == 0
    error_message = join("\n", local.replicas_left)
  }
}
