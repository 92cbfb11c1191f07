# For callers with a session secret, whose identity is the configured `user`. What the caller merely claims
# (`input.client`) may narrow a grant; it is never a grant of its own.
package veilwarden.authz

default allow := false

# Engineers may read.
allow if {
	input.user_org == "engineering"
	input.method in {"GET", "HEAD"}
}

# An engineer's CI agent may also write to GitHub.
allow if {
	input.user_org == "engineering"
	input.client.agent_id == "ci-agent"
	input.upstream_host == "api.github.com"
	input.method == "POST"
}

# Administrators may do everything. The whole domain is compared: `admin.example.com.evil.net` is another one.
allow if {
	[_, "admin.example.com"] = split(input.user_email, "@")
}

# The platform team may do everything but delete, and nothing at Stripe.
allow if {
	input.user_org == "platform"
	input.method != "DELETE"
	input.upstream_host != "api.stripe.com"
}

# Shown to the caller when the answer is no.
deny_reason := sprintf("no rule lets %s %s at %s", [user, input.method, input.upstream_host])

default user := "this caller"

user := input.user_id if input.user_id != ""
