package veilwarden.authz

default allow := false

caller if {
	input.namespace == "team-a"
	input.service_account == "caller"
	input.method == "GET"
}

allow if {
	caller
	input.path_segments[0] == "allowed"
}

# Whoever may label pods decides.
allow if {
	caller
	input.path_segments[0] == "gold"
	input.identity.pod_labels.tier == "gold"
	input.identity.namespace_labels["kubernetes.io/metadata.name"] == "team-a"
}

deny_reason := "team-a/caller may read below /allowed, and its gold pods below /gold"
