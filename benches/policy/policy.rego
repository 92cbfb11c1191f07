# A policy as a company with some fifty teams could write it: eight rules, and what each team was granted in data.json.
# `make bench` and `cargo bench` decide with it; their call is allowed by a grant, so every rule that can allow is tried.
package veilwarden.authz

import rego.v1

default allow := false

# The nightly settlement is nobody else's business.
allow if {
	input.namespace == "payments"
	input.service_account == "settlement"
	input.upstream_host == "api.stripe.com"
	input.method in {"GET", "POST"}
	startswith(input.path, "/v1/payouts")
}

# Builds read and write repositories, and nothing else of the forge.
allow if {
	input.service_account == "github-actions"
	input.upstream_host == "api.github.com"
	glob.match("/repos/*/**", ["/"], input.path)
}

# A team's workloads may do what the team was granted.
allow if {
	some grant in data.grants[input.namespace]
	grant.service_account == input.service_account
	grant.upstream_host == input.upstream_host
	input.method in grant.methods
	startswith(input.path, grant.path_prefix)
}

# People may read.
allow if {
	endswith(input.user_email, "@example.com")
	input.method in {"GET", "HEAD"}
}

# The first of these that fits is told to a caller who is refused.
deny_reason := sprintf("%s has no grant yet", [input.namespace]) if {
	not data.grants[input.namespace]
} else := sprintf("%s may not call %s", [input.service_account, input.upstream_host]) if {
	not input.upstream_host in {grant.upstream_host | some grant in data.grants[input.namespace]}
} else := sprintf("no grant of %s covers this method and path", [input.namespace])
