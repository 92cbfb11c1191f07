#!/usr/bin/env bash
# A machine of the cluster: a process (machine-init) in network, mount, PID, UTS and IPC namespaces of its own, and all
# that runs in them. When that process is killed, the kernel kills the rest, unmounts and removes devices and rules: this is
# why nothing can be left behind, whatever happens to the script that started it.

# shellcheck disable=SC2034 # the files beside this one use them
MACHINES=(control node1 node2)
NODES=(node1 node2)
MARKER=.veilwarden-cluster # marks a directory that `down` may remove

start_machine() {
	local machine=$1
	mkdir -p "$STATE/$machine"
	setsid unshare --mount --net --pid --uts --ipc --fork -- bash "$HERE/machine-init" "$STATE" "$machine" \
		</dev/null >"$STATE/$machine/init.log" 2>&1 &
	await "$machine is there" 20 test -e "$STATE/$machine/ready"
}

# Field 22 of /proc/PID/stat. Together with the pid it names one process for as long as this machine runs; a pid alone may
# by now be somebody else's.
started_at() {
	local stat
	{ stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 1
	read -ra stat <<<"${stat##*) }" # the program's name may hold spaces and brackets
	[[ ${stat[0]} != Z ]] && echo "${stat[19]}"
}

# The pid of a machine's first process, if it is alive.
init_of() {
	local pid start
	{ read -r pid start <"$STATE/$1/init"; } 2>/dev/null || return 1
	[[ $(started_at "$pid") == "$start" ]] && echo "$pid"
}

# Like init_of, from what runs instead of from what is written down, which may be gone.
unrecorded_init_of() {
	local file argv
	for file in /proc/[0-9]*/cmdline; do
		{ mapfile -d '' -t argv <"$file"; } 2>/dev/null || continue
		if [[ ${argv[0]:-} == bash && ${argv[1]:-} == "$HERE/machine-init" && ${argv[2]:-} == "$STATE" && ${argv[3]:-} == "$1" ]]; then
			basename "$(dirname "$file")"
		fi
	done
}

end_machine() {
	local pid start
	for pid in $(init_of "$1") $(unrecorded_init_of "$1"); do
		start=$(started_at "$pid") || continue
		kill -KILL "$pid"
		await "$1 (process $pid) is gone" 30 is_gone "$pid" "$start"
	done
}

is_gone() { [[ $(started_at "$1") != "$2" ]]; }

# Runs a command inside a machine; paths are the machine's, where /run, /var/lib and /var/log differ from ours.
inside() {
	local init
	init=$(init_of "$1") || die "the machine '$1' is not up"
	nsenter --target "$init" --mount --net --pid --uts --ipc -- "${@:2}"
}

# start_component MACHINE NAME COMMAND...: in the background, its output to MACHINE/log/NAME.log.
start_component() {
	local machine=$1 name=$2
	# shellcheck disable=SC2016 # the inner shell expands
	inside "$machine" env TMPDIR="$STATE/$machine/tmp" bash -c '
		log=$1 && shift
		setsid "$@" >>"$log" 2>&1 </dev/null &
		echo $!' start "$STATE/$machine/log/$name.log" "${@:3}" >"$STATE/$machine/$name.pid"
}

# The pid in its file is one of the machine's own numbers; the name is checked, because it could have been given again.
# A process that dies loses its program first, then its first thread, and its listeners with its last one.
# shellcheck disable=SC2016 # the inner shell expands
stop_component() {
	inside "$1" bash -c '
		read -r pid <"$1"
		[[ $(readlink "/proc/$pid/exe") == "$2" ]] || exit 0
		kill -KILL "$pid"
		lives() {
			{ read -r _ _ state _ <"/proc/$pid/stat"; } 2>/dev/null || return 1
			threads=("/proc/$pid/task/"*)
			[[ $state != [ZX] || ${#threads[@]} -gt 1 ]]
		}
		while lives; do sleep 0.02; done' stop "$STATE/$1/$2.pid" "$(command -v "$2")"
}

# await WHAT SECONDS COMMAND...: until the command succeeds.
await() {
	local what=$1 end=$((SECONDS + $2))
	until "${@:3}" >/dev/null 2>&1; do
		if ((SECONDS >= end)); then
			tail -n 5 "$STATE"/*/log/*.log "$STATE"/*/init.log >&2 2>/dev/null || true
			die "waited $2 s, but it did not come to pass that $what (the last lines of every log are above)"
		fi
		sleep 0.1
	done
}
