//! The functions a policy can call: the interpreter's own, and three of OPA's that it lacks.

use std::net::IpAddr;

use anyhow::{Context, Result, bail};
use aws_lc_rs::{digest, hmac};
use ipnet::IpNet;
use regorus::{Engine, Value};

use crate::policy::loader::calls::BuiltIns;

type Function = fn(&[Value]) -> Result<Value>;

const ADDED: &[(&str, u8, Function)] = &[
    ("crypto.sha256", 1, sha256),
    ("crypto.hmac.sha256", 2, hmac_sha256),
    ("net.cidr_intersects", 2, cidr_intersects),
];

/// Adds what the interpreter lacks.
pub(super) fn add(engine: &mut Engine) -> Result<()> {
    for (name, arguments, function) in ADDED {
        let call = move |arguments: Vec<Value>| function(&arguments);
        engine.add_extension((*name).to_owned(), *arguments, Box::new(call))?;
    }
    Ok(())
}

/// All functions by name, with the number of their arguments.
pub(super) fn known() -> BuiltIns {
    let own = regorus::unstable::BUILTINS.iter().map(|(name, (_, arguments))| (*name, Some(usize::from(*arguments))));
    let added = ADDED.iter().map(|(name, arguments, _)| (*name, Some(usize::from(*arguments))));
    own.filter(|(name, _)| !name.starts_with("__")).chain(added).chain([("print", None)]).collect()
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
