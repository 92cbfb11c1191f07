//! A policy whose reason lists what many built-ins give, so that comparing reasons compares built-ins.

pub const POLICY: &str = r#"
package veilwarden.authz

allow := false

deny_reason := json.marshal({
	"sha256": crypto.sha256(input.path),
	"hmac": crypto.hmac.sha256(input.path, input.method),
	"intersects": [net.cidr_intersects(one, other) | some one in ranges; some other in ranges],
	"contains": [net.cidr_contains(range, input.source.ip) | some range in ranges],
	"glob": [glob.match(pattern, ["/"], input.path) | some pattern in ["/v1/*", "/v1/**", "/{v1,repos}/*/*", "**"]],
	"regex": [regex.match(`^/v[0-9]+/`, input.path), regex.replace(input.path, "[aeiou]", "_")],
	"strings": [upper(input.method), split(input.path, "/"), trim_prefix(input.path, "/v1"), indexof(input.path, "s")],
	"sprintf": sprintf("%s %v %d %q", [input.method, input.path_segments, count(input.path), input.query]),
	"time": [time.clock(ns), time.date(ns), time.weekday(ns), time.clock([ns, "Europe/Berlin"])],
	"encoding": [base64.encode(input.path), base64url.encode(input.path), hex.encode(input.method), urlquery.encode(input.path)],
	"semver": semver.compare("1.2.3", "1.10.0"),
	"sets": [intersection({{1, 2}, {2, 3}}), {1, 2} - {2}, {1} | {3}],
	"objects": [object.get(input, ["client", "agent_id"], "none"), object.keys({"a": 1}), object.union({"a": 1}, {"b": 2})],
	"numbers": [sum([1, 2.5]), round(2.5), 7 % 3, 1 / 4, numbers.range(1, 3), to_number("12")],
	"params": [param | some param in input.query_params],
	"identity": [object.get(input.identity, "namespace", "none"), input.identity.type],
})

ns := time.parse_rfc3339_ns(input.timestamp)

ranges := ["192.0.2.0/24", "192.0.2.128/25", "10.0.0.0/8", "0.0.0.0/0", "2001:db8::/32", "192.0.2.1/32"]
"#;
