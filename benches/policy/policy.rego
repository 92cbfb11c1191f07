# A policy as a company with some fifty teams could write it: who may call what lies in data.json, the rules say how
# to read it. `make bench` and `cargo bench` decide with it.
package veilwarden.authz

import rego.v1

default allow := false

# A workload may do what its team was granted.
allow if {
	is_workload
	not is_blocked
	some grant in data.grants[input.namespace]
	covers(grant)
}

# Every workload may look whether an upstream is up.
allow if {
	is_workload
	input.method == "GET"
	input.path == "/status"
}

# People may read.
allow if {
	input.identity.type == "static"
	endswith(input.user_email, "@example.com")
	input.method in {"GET", "HEAD"}
}

is_workload if input.identity.type == "kubernetes"

is_blocked if input.namespace in data.blocked_namespaces

is_blocked if {
	some segment in input.path_segments
	segment in {"admin", "internal"}
}

covers(grant) if {
	grant.service_account == input.service_account
	grant.upstream_host == input.upstream_host
	input.method in grant.methods
	startswith(input.path, grant.path_prefix)
}

deny_reason := "this path, or the whole namespace, is blocked" if {
	is_blocked
} else := sprintf("%s/%s has no grant for this call", [input.namespace, input.service_account]) if {
	is_workload
}
