//! The functions a policy can call: the interpreter's own, some of them with a bound or in a form of ours, and three of OPA's that
//! it lacks.

use std::net::IpAddr;

use anyhow::{Context, Result, bail};
use aws_lc_rs::{digest, hmac};
use ipnet::IpNet;
use regorus::{Engine, Value};

use crate::policy::loader::calls::{BuiltIns, is_refused};

mod bounded;
mod json;
mod parts;

type Function = fn(&[Value]) -> Result<Value>;

const ADDED: &[(&str, u8, Function)] = &[
    ("crypto.sha256", 1, sha256),
    ("crypto.hmac.sha256", 2, hmac_sha256),
    ("json.is_valid", 1, json::is_valid),
    ("json.unmarshal", 1, json::unmarshal),
    ("net.cidr_intersects", 2, cidr_intersects),
    ("object.subset", 2, parts::subset),
    ("strings.count", 2, parts::count),
    ("to_number", 1, json::to_number),
];

/// Adds what the interpreter lacks, and puts what has a bound in the place of what has none.
pub(super) fn add(engine: &mut Engine) -> Result<()> {
    for (name, arguments, function) in ADDED {
        let call = move |arguments: Vec<Value>| function(&arguments);
        engine.add_extension((*name).to_owned(), *arguments, Box::new(call))?;
    }
    for (name, measure) in bounded::MEASURED {
        let call = move |arguments: Vec<Value>| bounded::call(name, *measure, &arguments);
        engine.add_extension((*name).to_owned(), bounded::takes(name), Box::new(call))?;
    }
    Ok(())
}

/// All functions that a policy may call by name, with the number of their arguments.
pub(super) fn known() -> BuiltIns {
    let own = regorus::unstable::BUILTINS.iter().map(|(name, (_, arguments))| (*name, Some(usize::from(*arguments))));
    let added = ADDED.iter().map(|(name, arguments, _)| (*name, Some(usize::from(*arguments))));
    let own = own.filter(|(name, _)| !name.starts_with("__") && !is_refused(name));
    own.chain(added).chain([("print", None)]).collect()
}

/// `crypto.sha256(text)`: the digest in lower-case hex.
fn sha256(arguments: &[Value]) -> Result<Value> {
    let [text] = arguments else { bail!("crypto.sha256 takes one argument") };
    Ok(hex(digest::digest(&digest::SHA256, text.as_string()?.as_bytes()).as_ref()))
}

/// `crypto.hmac.sha256(text, key)`: the code in lower-case hex.
fn hmac_sha256(arguments: &[Value]) -> Result<Value> {
    let [text, key] = arguments else { bail!("crypto.hmac.sha256 takes two arguments") };
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_string()?.as_bytes());
    Ok(hex(hmac::sign(&key, text.as_string()?.as_bytes()).as_ref()))
}

/// `net.cidr_intersects(a, b)`: whether two CIDR ranges have an address in common.
fn cidr_intersects(arguments: &[Value]) -> Result<Value> {
    let [one, other] = arguments else { bail!("net.cidr_intersects takes two arguments") };
    let (one, other) = (network(one)?, network(other)?);
    // Ranges nest or are apart: when they meet, the larger holds the smaller's first address.
    let meets = |larger: &IpNet, smaller: &IpNet| larger.contains::<&IpAddr>(&smaller.network());
    Ok(Value::from(meets(&one, &other) || meets(&other, &one)))
}

fn network(cidr: &Value) -> Result<IpNet> {
    let cidr = cidr.as_string()?;
    cidr.parse().with_context(|| format!("`{cidr}` is no CIDR range"))
}

fn hex(bytes: &[u8]) -> Value {
    Value::from(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::loader::calls::is_repeatable;

    #[test]
    fn the_added_functions_give_what_opa_gives() {
        let text = |text: &str| Value::from(text);
        // FIPS 180-4, "abc"; RFC 4231, test case 2.
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(&[text("abc")]).expect("a digest"), text(digest));
        let code = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(hmac_sha256(&[text("what do ya want for nothing?"), text("Jefe")]).expect("a code"), text(code));
        for (one, other, meets) in [
            ("192.168.0.0/16", "192.168.1.0/24", true),
            ("192.168.1.0/24", "192.168.0.0/16", true),
            ("192.168.1.77/24", "192.168.1.1/32", true),
            ("192.168.1.0/24", "192.168.2.0/24", false),
            ("2001:db8::/32", "2001:db8:1::/48", true),
            ("0.0.0.0/0", "::/0", false),
        ] {
            let found = cidr_intersects(&[text(one), text(other)]).expect("two ranges");
            assert_eq!(found, Value::from(meets), "{one} {other}");
        }
    }

    /// A new version of the interpreter that brings a clock or a die fails here: decisions by it must not be remembered.
    #[test]
    fn every_built_in_was_looked_at_for_clock_and_chance() {
        let mark = |name: &str| if is_repeatable(name) { "" } else { "  # asked anew for each decision" };
        let lines: Vec<String> = known().keys().map(|name| format!("{name}{}", mark(name))).collect();
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn what_they_cannot_answer_is_an_error() {
        sha256(&[Value::from(1)]).expect_err("a number");
        hmac_sha256(&[Value::from("a"), Value::Null]).expect_err("null");
        for cidr in ["192.168.1.1", "", "192.168.1.0/33"] {
            cidr_intersects(&[Value::from(cidr), Value::from("10.0.0.0/8")]).expect_err(cidr);
        }
    }
}
