# How to test a policy: a base input, small helpers, and one allowed and one denied call for a rule.
# Run: opa test policies/kubernetes-example.rego policies/kubernetes-example_test.rego
package veilwarden.authz_test

import data.veilwarden.authz

call(workload, method, url) := {
	"namespace": namespace,
	"service_account": service_account,
	"method": method,
	"upstream_host": host,
	"path": concat("", ["/", path]),
	"path_segments": split(path, "/"),
	"timestamp": "2026-01-01T12:00:00Z",
	"secret_id": "KEY",
} if {
	[namespace, service_account] := split(workload, "/")
	[host, path] := split(url, "//")
}

allowed(input_) if authz.allow with input as input_

test_production_reads_from_stripe if allowed(call("production/api", "GET", "api.stripe.com//v1/balance"))

test_production_does_not_write if not allowed(call("production/api", "POST", "api.stripe.com//v1/balance"))

test_a_namesake_in_another_namespace_gets_nothing if {
	allowed(call("ci/github-actions", "POST", "api.github.com//repos"))
	not allowed(call("attacker/github-actions", "POST", "api.github.com//repos"))
}

test_a_denial_holds_against_every_grant if {
	billing := call("production/billing-service", "POST", "api.stripe.com//v1/charges")
	allowed(billing)
	not allowed(object.union(billing, {"method": "DELETE"}))
	authz.deny_reason == "nothing is deleted from production" with input as object.union(billing, {"method": "DELETE"})
}

test_a_tenant_reaches_its_own_data_only if {
	allowed(call("tenant-acme/app", "GET", "tenants.api.example.com//tenants/acme/orders"))
	not allowed(call("tenant-acme/app", "GET", "tenants.api.example.com//tenants/other/acme"))
}
