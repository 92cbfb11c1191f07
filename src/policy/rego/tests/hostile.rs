//! What callers may put into a field that a policy gives to a built-in. The clock is looked at between steps only, so
//! nothing stops a built-in that takes long, or all the memory there is.

use std::fmt::Write as _;
use std::process::Command;
use std::slice::from_ref;

use regorus::Value;
use rustix::process::{Resource, Rlimit, setrlimit};

use super::*;

/// Says to a second run of this program that it is the one that may be ended.
const LIMITED: &str = "VEILWARDEN_TEST_LIMITED";
const MEMORY: u64 = 128 << 20;
const SECONDS: u64 = 60;
/// As long as a field may be.
const LONG: usize = 16 << 10;

#[test]
fn every_built_in_that_a_policy_may_call_has_an_end_whatever_it_is_given() {
    if std::env::var_os(LIMITED).is_some() {
        return call_them_all();
    }
    let name = "policy::rego::tests::hostile::every_built_in_that_a_policy_may_call_has_an_end_whatever_it_is_given";
    let mut again = Command::new(std::env::current_exe().unwrap());
    let output = again.args([name, "--exact", "--nocapture"]).env(LIMITED, "yes").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{}\n{said}\n{errors}", output.status);
}

#[expect(clippy::print_stdout, reason = "the last name says where it ended")]
fn call_them_all() {
    for (resource, most) in [(Resource::Data, MEMORY), (Resource::Cpu, SECONDS)] {
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) }).unwrap();
    }
    // Some functions panic, which is an error like any other; to draw the stack for each would take most of the time.
    std::panic::set_hook(Box::new(|_| {}));
    for (name, takes) in built_ins::known() {
        println!("{name}");
        let takes = takes.unwrap_or(1);
        let rego = policy(&format!("allow if {{ input.path == \"/x\"; x := {name}({}); x != 0 }}", arguments(takes)));
        for given in given(takes) {
            let mut engine = rego.engine.clone();
            engine.set_input(input(&given));
            drop(Evaluation { engine }.run(&rego.plan));
        }
    }
}

#[tokio::test]
async fn a_function_with_a_bound_gives_what_it_gave_and_says_where_it_is_given_too_much() {
    let rules = [
        "concat(\"/\", [\"a\", \"b\"]) == \"a/b\"",
        "concat(\"/\", {\"a\", \"b\"}) == \"a/b\"",
        "glob.match(\"*.example.com\", [\".\"], input.upstream_host)",
        "not glob.match(\"*\", [\".\"], input.upstream_host)",
        "numbers.range(3, 1) == [3, 2, 1]",
        "numbers.range_step(1, 5, 2) == [1, 3, 5]",
        "regex.find_all_string_submatch_n(\"a(.)\", \"abac\", -1) == [[\"ab\", \"b\"], [\"ac\", \"c\"]]",
        "regex.replace(\"abc\", \"(b)\", \"<$1>\") == \"a<b>c\"",
        "replace(\"a-b-c\", \"-\", \"/\") == \"a/b/c\"",
        "{ replace(\"a\", \"a\", \"b\", x); x == \"b\" }",
        "sprintf(\"%s/%03d %v\", [\"a\", 7, [1]]) == \"a/007 [1]\"",
        "count(numbers.range(1, 65536)) == 65536",
        "object.subset(input.path_segments, [])",
        "strings.count(input.path, \"\") > 0",
        "json.unmarshal(\"{\\\"a\\\": [1, null]}\") == {\"a\": [1, null]}",
    ];
    for rule in rules {
        assert!(decide(&format!("allow if {rule}"), &Call::kubernetes()).await.expect(rule).allowed, "{rule}");
    }
    let long = "a".repeat(LONG);
    for (call, path) in [
        ("replace(input.path, \"a\", input.path)", long.as_str()),
        ("sprintf(input.path, [1])", "%900000000d"),
        ("sprintf(input.path, [1])", "%1\u{663}d"),
        ("numbers.range(0, to_number(input.path))", "65536"),
        ("numbers.range(1, to_number(input.path))", "1000000000"),
        ("numbers.range(18446744073709551615, to_number(input.path))", "18446744073708551615"),
        ("numbers.range_step(18446744073709551615, to_number(input.path), 1)", "18446744073708551615"),
        ("numbers.range(1e19, to_number(input.path))", "10000000001000000000"),
        ("numbers.range(to_number(input.path), 1000000000000001024)", "1e18"),
    ] {
        let text = format!(
            "allow if {{ startswith(input.path, \"/\") }}\nallow if {{ not startswith(input.path, \"/\"); {call} != 1 }}"
        );
        let decided = decide(&text, &for_path(path)).await;
        let Err(Error::Evaluation(said)) = &decided else { panic!("{text}: {decided:?}") };
        assert!(said.starts_with("p.rego:3:") && said.ends_with("would make too much of what it is given"), "{said}");
    }
}

fn arguments(count: usize) -> String {
    (0..count).map(|at| format!("input.headers.x{at}")).collect::<Vec<_>>().join(", ")
}

fn input(given: &[Value]) -> Value {
    let mut headers = regorus::value::Object::new();
    for (at, value) in given.iter().enumerate() {
        headers.insert(Value::from(format!("x{at}")), value.clone());
    }
    let mut input = regorus::value::Object::new();
    input.insert(Value::from("path"), Value::from("/x"));
    input.insert(Value::from("headers"), headers.into_value());
    input.into_value()
}

/// Everything in every place, or of what most functions take, where there are many places.
fn given(places: usize) -> Vec<Vec<Value>> {
    let values = match places {
        0..=2 => [common(), special()].concat(),
        3 => common(),
        _ => common()[..5].to_vec(),
    };
    (0..places).fold(vec![vec![]], |begun: Vec<Vec<Value>>, _| {
        begun.iter().flat_map(|begun| values.iter().map(|value| [&begun[..], from_ref(value)].concat())).collect()
    })
}

fn common() -> Vec<Value> {
    vec![
        Value::from("a".repeat(LONG)),
        Value::from("()".repeat(700)),
        Value::from("*a".repeat(LONG / 2)),
        Value::from(1),
        Value::from(4_000_000_000_u64),
        Value::from("a"),
        Value::from("$0".repeat(LONG / 2)),
        json(&format!("[{}\"a\"]", "\"a\",".repeat(LONG / 4))),
        json("{\"a\": [\"b\"]}"),
    ]
}

fn special() -> Vec<Value> {
    let texts = [
        "/".repeat(LONG),
        "9".repeat(LONG),
        "[".repeat(LONG),
        "{\"$serde_json::private::Number\":\"1e999999999\"}".to_owned(),
        "1e999999999".to_owned(),
        "%900000000d".to_owned(),
        "fd00::/64".to_owned(),
        format!("{{a: &a [{}x], b: [{}*a]}}", "x,".repeat(6000), "*a,".repeat(80)),
    ];
    let documents = [
        "1000000000000000000".to_owned(),
        "1e308".to_owned(),
        "[1]".to_owned(),
        "[\"0\"]".to_owned(),
        format!("[\"{}\"]", "/".repeat(LONG)),
        format!("{}{}{}", "[".repeat(120), "1,".repeat(LONG / 2) + "1", "]".repeat(120)),
        format!("[{}{{}}]", (0..1200).fold(String::new(), |mut all, at| write!(all, "{{\"a{at}\":1}},").map(|()| all).unwrap())),
        format!("[{}1]", "{\"op\":\"copy\",\"from\":\"/a\",\"path\":\"/a/-\"},".repeat(28)),
        format!("{{\"indent\":\"{}\"}}", "a".repeat(LONG / 2)),
        complete_graph(14),
        "{\"a\":\"bb\",\"b\":\"cc\",\"c\":\"dd\",\"d\":\"ee\",\"e\":\"ff\",\"f\":\"gg\",\"g\":\"hh\",\"h\":\"ii\",\"i\":\"jj\",\"j\":\"kk\",\"k\":\"ll\",\"l\":\"mm\"}".to_owned(),
    ];
    texts.iter().map(|text| Value::from(text.as_str())).chain(documents.iter().map(|text| json(text))).collect()
}

fn complete_graph(nodes: usize) -> String {
    let all = (0..nodes).map(|node| format!("\"{node}\"")).collect::<Vec<_>>();
    let edges = all.iter().map(|node| format!("{node}:[{}]", all.join(","))).collect::<Vec<_>>();
    format!("{{{}}}", edges.join(","))
}

fn json(text: &str) -> Value {
    Value::from_json_str(text).unwrap()
}
