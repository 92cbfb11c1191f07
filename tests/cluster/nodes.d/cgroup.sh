#!/usr/bin/env bash
# The cgroups of the nodes' pods: the one thing of a node that does not end with its first process.

# The name of a node's cgroup, below the root of each hierarchy; other clusters on this computer have other names.
cgroup_of() {
	local id
	id=$(sha256sum <<<"$STATE")
	echo "veilwarden-${id:0:8}-$1"
}

make_cgroup() {
	local name hierarchy controller
	name=$(cgroup_of "$1")
	if [[ -e /sys/fs/cgroup/cgroup.controllers ]]; then
		mkdir -p "/sys/fs/cgroup/$name"
		for controller in $(</sys/fs/cgroup/cgroup.controllers); do
			# Some cannot be handed down; the kubelet says which of them it misses.
			for hierarchy in /sys/fs/cgroup "/sys/fs/cgroup/$name"; do
				echo "+$controller" >"$hierarchy/cgroup.subtree_control" || true
			done
		done 2>/dev/null
		return
	fi
	for hierarchy in /sys/fs/cgroup/*/; do
		[[ -L ${hierarchy%/} || ! -e $hierarchy/tasks ]] || mkdir -p "$hierarchy$name"
	done
	# A cpuset takes no process before it has processors and memory.
	for setting in cpuset.cpus cpuset.mems; do
		cat "/sys/fs/cgroup/cpuset/$setting" >"/sys/fs/cgroup/cpuset/$name/$setting"
	done
}

remove_cgroups() {
	local machine
	for machine in "${NODES[@]}"; do
		await "the cgroups of $machine are gone" 20 remove_cgroup "$(cgroup_of "$machine")"
	done
}

remove_cgroup() {
	local directory
	for directory in "/sys/fs/cgroup/$1" /sys/fs/cgroup/*/"$1"; do
		[[ ! -d $directory ]] || find "$directory" -depth -type d -exec rmdir {} +
	done
}
