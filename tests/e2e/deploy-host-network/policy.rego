package veilwarden.authz

default allow := false

allow if {
	input.namespace in {"team-a", "team-on-host"}
	input.service_account == "caller"
	input.method == "GET"
	input.path_segments[0] == "allowed"
}

# A laptop with the session secret.
allow if {
	input.identity.type == "static"
	input.method == "GET"
}

deny_reason := "team-a/caller may read below /allowed"
