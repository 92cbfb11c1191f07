package veilwarden.authz

default allow := false

# quickstart/my-app may read models.
allow if {
	input.namespace == "quickstart"
	input.service_account == "my-app"
	input.method == "GET"
	input.path_segments[0] == "v1"
	input.path_segments[1] == "models"
}

# What the caller of a denied call is told, and the audit record says.
deny_reason := "quickstart/my-app may read /v1/models, nobody else anything"
