# Ten patterns for workloads. Copy what you need and delete the rest.
#
# There is one decision, at the end. A pattern adds to `grants` or to `denials`, so that a denial holds against every
# grant. Workloads are matched as `namespace/service-account`: the account's name alone can be made by anybody who may
# create ServiceAccounts somewhere.
package veilwarden.authz

workload := sprintf("%s/%s", [input.namespace, input.service_account])

reads if input.method in {"GET", "HEAD"}

# 1. A whole namespace: everything in `production` may read from Stripe.
grants contains "production reads from Stripe" if {
	input.namespace == "production"
	input.upstream_host == "api.stripe.com"
	reads
}

# 2. One workload: the CI runner may use GitHub.
grants contains "CI uses GitHub" if {
	workload == "ci/github-actions"
	input.upstream_host == "api.github.com"
}

# 3. By method: monitoring may read anywhere that has a route.
grants contains "monitoring reads" if {
	input.namespace == "monitoring"
	reads
}

# 4. By path, segment by segment: the help desk may look up one customer, not list them and not see what is below.
grants contains "the help desk looks up a customer" if {
	workload == "support/helpdesk"
	input.upstream_host == "api.stripe.com"
	input.method == "GET"
	["v1", "customers", id] = input.path_segments
	id != ""
}

# 5. Several namespaces: whatever is not production may use the sandbox.
grants contains "test environments use the sandbox" if {
	input.namespace in {"dev", "qa", "staging"}
	input.upstream_host == "sandbox.api.example.com"
}

# 6. By time: the nightly report runs between 01:00 and 05:00 UTC.
grants contains "the nightly report runs at night" if {
	workload == "batch/nightly-report"
	input.upstream_host == "reports.api.example.com"
	[hour, _, _] := time.clock(time.parse_rfc3339_ns(input.timestamp))
	hour >= 1
	hour < 5
}

# 7. All together: billing, and only billing, may create and change charges.
grants contains "billing charges" if {
	workload == "production/billing-service"
	input.upstream_host == "api.stripe.com"
	input.method == "POST"
	array.slice(input.path_segments, 0, 2) == ["v1", "charges"]
}

# 8. Denials, which hold against every grant.
denials contains "nothing is deleted from production" if {
	input.namespace == "production"
	input.method == "DELETE"
}

denials contains "the live key is for production only" if {
	input.secret_id == "STRIPE_LIVE_KEY"
	not input.namespace == "production"
}

# 9. Hints for the audit log: which rule said no, or that none said yes. The caller gets the same text, so it names
# nothing that the caller does not know already.
deny_reason := concat("; ", denials) if {
	count(denials) > 0
} else := sprintf("no rule lets %s %s %s at %s", [workload, input.method, input.path, input.upstream_host]) if {
	workload
} else := "this policy is for workloads"

# 10. Tenants: a workload in `tenant-acme` reaches `/tenants/acme/…` and nothing else. Whole segments are compared;
# a search in the path would let `/tenants/other/acme` through.
grants contains "a tenant reaches its own data" if {
	input.upstream_host == "tenants.api.example.com"
	["tenants", tenant] = array.slice(input.path_segments, 0, 2)
	input.namespace == concat("-", ["tenant", tenant])
}

# The decision.
default allow := false

allow if {
	count(grants) > 0
	count(denials) == 0
}
