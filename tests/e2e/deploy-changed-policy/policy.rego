package veilwarden.authz

default allow := false

allow if {
	input.namespace == "team-a"
	input.service_account == "caller"
	input.path_segments[0] in {"allowed", "allowed-since-the-change"}
}
