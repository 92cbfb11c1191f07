# Calls {{upstream}} through veilwarden, once a minute.
set -u

call() { # HOST PATH
  # The file is read for every call, because the kubelet renews the token. curl gets it by a pipe: an argument would
  # show in the list of processes.
  printf 'Authorization: Bearer %s\n' "$(cat "$VEILWARDEN_TOKEN_FILE")" |
    curl --silent --show-error --noproxy '*' --max-time 150 --header @- --header "X-Upstream-Host: $1" \
      --write-out '\n%{http_code} %header{x-veilwarden-error}\n' "$VEILWARDEN_URL$2"
}

while true; do
  call {{upstream}} '{{path}}'
  sleep "${SECONDS_BETWEEN_CALLS:-60}"
done
