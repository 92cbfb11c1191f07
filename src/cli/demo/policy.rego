package veilwarden.authz

# Agents may read. Everything else needs a rule of its own.
default allow := false

allow if {
	input.method in {"GET", "HEAD"}
	input.upstream_host == "api.demo.test"
}

deny_reason := "agents may read from api.demo.test, not delete" if input.method == "DELETE"
