#!/usr/bin/env bash
# Call Telenor's API with the shared token, read through the AWS CLI.
#
# Reads paths from stdin, one per line, and prints the status of each response.
# Needs bash, the AWS CLI (1 or 2), sed, and curl 7.55 or newer.
set -euo pipefail

base_url=${TELENOR_BASE_URL:-https://api.telenor.no}
base_url=${base_url%/}

# At least a minute less than the GRACE_SECONDS of the token job.
cache_seconds=${CACHE_SECONDS:-300}

token=''
read_at=0

# Read the shared token again.
read_token() {
  local document now=$SECONDS
  document=$(aws secretsmanager get-secret-value --secret-id "$TOKEN_SECRET_ID" --query SecretString --output text)
  # No JSON tool is needed: a token has neither quotes nor backslashes (RFC 6750, section 2.1).
  token=$(printf '%s\n' "$document" | sed -n 's/.*"access_token": *"\([^"]*\)".*/\1/p')
  # Set only after the read: a failed read must not extend the cache.
  read_at=$now
}

# Return the URL of a path at Telenor. Send the token only to TELENOR_BASE_URL: to no other host or port.
url_of() {
  if [[ $1 != /* ]]; then
    echo 'a path must begin with / and stay at TELENOR_BASE_URL' >&2
    return 1
  fi
  # The path begins with a slash, which ends the host.
  printf '%s%s' "$base_url" "$1"
}

# Send one request. The header comes through a pipe, since everybody on the machine can see arguments.
# Follow no redirect, and ignore ~/.curlrc: the token stays at TELENOR_BASE_URL.
call() {
  local url
  url=$(url_of "$1")
  printf 'Authorization: Bearer %s\n' "$token" |
    curl --disable --silent --show-error --max-time 10 --header @- --output /dev/null --write-out '%{http_code}' "$url"
}

# GET a path. On a 401 read the secret again, and repeat once if it has another token.
get() {
  local status refused
  if [[ -z $token ]] || ((SECONDS - read_at >= cache_seconds)); then
    read_token
  fi
  status=$(call "$1")
  if [[ $status == 401 ]]; then
    refused=$token
    read_token
    if [[ $token != "$refused" ]]; then
      status=$(call "$1")
    fi
  fi
  echo "$status"
}

# The last line may have no newline.
while read -r path || [[ -n $path ]]; do
  get "$path"
done
