# What the benchmarks decide by: eight rules and a look-up among 500 grants in data.json.
package veilwarden.authz

default allow := false

allow if {
	granted
	not denied
}

granted if {
	some grant in data.grants[input.namespace]
	grant.service_account == input.service_account
	grant.host == input.upstream_host
	input.method in grant.methods
	startswith(input.path, grant.path_prefix)
}

granted if {
	input.namespace == "monitoring"
	input.method == "GET"
}

granted if {
	input.namespace == "ci"
	input.service_account == "github-actions"
	glob.match("/repos/*/**", ["/"], input.path)
}

denied if {
	input.method == "DELETE"
	input.namespace != "platform"
}

denied if input.upstream_host in data.blocked_hosts

deny_reason := "deletion is for the platform team" if {
	input.method == "DELETE"
} else := "no grant fits"
