//! Calls: an unknown function would be noticed only when a call reaches it, so it is refused when loading.

use std::collections::BTreeMap;

use super::program::{Call, Module, Program, Reference, Rule, dotted};
use super::{Place, Problem, did_you_mean};

/// Built-ins of OPA that veilwarden refuses, and why.
const REFUSED: &[(&str, &str)] = &[
    ("http.send", "a policy must not reach out to the network"),
    ("net.lookup_ip_addr", "a policy must not reach out to the network"),
    ("any", "removed from Rego v1; use `some` or `in`"),
    ("all", "removed from Rego v1; use `every`"),
    ("re_match", "removed from Rego v1; use `regex.match`"),
    ("set_diff", "removed from Rego v1; use `-`"),
    ("net.cidr_overlap", "removed from Rego v1; use `net.cidr_contains`"),
    ("cast_array", "removed from Rego v1"),
    ("cast_set", "removed from Rego v1"),
    ("cast_string", "removed from Rego v1"),
    ("cast_boolean", "removed from Rego v1"),
    ("cast_null", "removed from Rego v1"),
    ("cast_object", "removed from Rego v1"),
];

/// Built-ins that take longer, or more memory, with the value of a number or exponentially with a text's length, and
/// what to do instead. A built-in is one step, so nothing stops it.
const UNBOUNDED: &[(&str, &str)] = &[
    ("bits.lsh", "multiply instead"),
    ("graph.reachable_paths", "`graph.reachable` says what is reached"),
    ("json.filter", "use `object.filter`"),
    ("json.marshal_with_options", "use `json.marshal`"),
    ("json.patch", "use `object.union` and `object.remove`"),
    ("json.remove", "use `object.remove`"),
    ("net.cidr_expand", "use `net.cidr_contains`"),
    ("strings.replace_n", "use `replace`"),
    ("units.parse", "compare plain numbers with `to_number`"),
    ("units.parse_bytes", "compare plain numbers with `to_number`"),
    ("yaml.is_valid", "use `json.is_valid`"),
    ("yaml.unmarshal", "use `json.unmarshal`, or a data file"),
];

/// Built-ins that may answer differently at another time (OPA's capabilities list calls them nondeterministic), and
/// those that do something beside answering.
const UNREPEATABLE: &[&str] =
    &["http.send", "net.lookup_ip_addr", "opa.runtime", "print", "rand.intn", "time.now_ns", "trace", "uuid.rfc4122"];

/// The functions that the interpreter knows: name and number of arguments, `None` for any number.
pub(crate) type BuiltIns = BTreeMap<&'static str, Option<usize>>;

/// Checks that everything called exists and gets as many arguments as it takes.
pub(crate) fn check(program: &Program, built_ins: &BuiltIns, problems: &mut Vec<Problem>) {
    for (module, rule) in program.rules() {
        for call in &rule.calls {
            let problem = match program.function(module, call) {
                Some((path, takes)) => wrong_number(module, call, &dotted(path), takes),
                None => built_in(module, call, built_ins),
            };
            problems.extend(problem);
        }
        let stand_ins = rule.stand_ins.iter().filter(|name| is_built_in(program, module, rule, name));
        problems.extend(stand_ins.filter_map(|stand_in| refused(module, &stand_in.name(), stand_in.place)));
    }
}

/// Whether the policy says the same of the same input, whenever and however often it is asked. To mention a built-in
/// is enough, called or not: `with` can put one in another function's place.
pub(crate) fn are_repeatable(program: &Program) -> bool {
    program.rules().all(|(_, rule)| {
        rule.calls.iter().all(|call| is_repeatable(&call.path.join(".")))
            && rule.references.iter().all(|reference| is_repeatable(&reference.name()))
    })
}

/// Whether a function gives the same for the same arguments, and does nothing else.
pub(crate) fn is_repeatable(name: &str) -> bool {
    !UNREPEATABLE.contains(&name)
}

/// Whether no policy may use a built-in, though the interpreter may have it.
pub(crate) fn is_refused(name: &str) -> bool {
    why_refused(name).is_some()
}

fn why_refused(name: &str) -> Option<String> {
    let of = |table: &[(&str, &'static str)]| table.iter().find(|(refused, _)| *refused == name).map(|(_, why)| *why);
    let unbounded = |instead| format!("its cost has no bound that `policy.timeout` could enforce; {instead}");
    of(REFUSED).map(str::to_owned).or_else(|| of(UNBOUNDED).map(unbounded))
}

/// Whether nothing in the policy has this name.
fn is_built_in(program: &Program, module: &Module, rule: &Rule, name: &Reference) -> bool {
    !rule.locals.contains_key(&name.root) && program.resolve(module, rule, name).is_none()
}

fn refused(module: &Module, name: &str, place: Place) -> Option<Problem> {
    let why = why_refused(name)?;
    Some(Problem::at(&module.file, place, format!("`{name}` is not available")).hint(Some(why)))
}

fn built_in(module: &Module, call: &Call, built_ins: &BuiltIns) -> Option<Problem> {
    let name = call.path.join(".");
    if let Some(problem) = refused(module, &name, call.place) {
        return Some(problem);
    }
    match built_ins.get(name.as_str()) {
        Some(Some(takes)) => wrong_number(module, call, &name, *takes),
        Some(None) => None,
        None => {
            let problem = Problem::at(&module.file, call.place, format!("there is no function `{name}`"));
            Some(problem.hint(did_you_mean(&name, built_ins.keys().copied())))
        }
    }
}

/// One argument more than it takes receives the result: `split(a, b, parts)`.
fn wrong_number(module: &Module, call: &Call, name: &str, takes: usize) -> Option<Problem> {
    let given = call.arguments;
    (given != takes && given != takes + 1).then(|| {
        Problem::at(&module.file, call.place, format!("`{name}` takes {takes} arguments and is given {given}"))
    })
}
