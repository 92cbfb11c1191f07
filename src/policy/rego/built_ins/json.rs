//! Text that becomes numbers. The interpreter's own reader takes the object `{"$serde_json::private::Number":
//! "1e999999999"}` for a number, and makes all its digits.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use regorus::Value;

/// `json.unmarshal(text)`
pub(super) fn unmarshal(arguments: &[Value]) -> Result<Value> {
    Ok(value(parse(text("json.unmarshal", arguments)?).context("could not deserialize json")?))
}

/// `json.is_valid(text)`
pub(super) fn is_valid(arguments: &[Value]) -> Result<Value> {
    Ok(Value::from(parse(text("json.is_valid", arguments)?).is_ok()))
}

/// `to_number(value)`: of null, booleans, numbers, and text that is a JSON number.
pub(super) fn to_number(arguments: &[Value]) -> Result<Value> {
    match arguments {
        [Value::Null] => Ok(Value::from(0_u64)),
        [Value::Bool(flag)] => Ok(Value::from(u64::from(*flag))),
        [Value::Number(_)] => Ok(arguments[0].clone()),
        [Value::String(text)] => match parse(text) {
            Ok(serde_json::Value::Number(found)) => Ok(number(&found)),
            _ => bail!("could not parse string as number"),
        },
        _ => bail!("`to_number` expects one boolean, number, string or null"),
    }
}

fn text<'a>(name: &str, arguments: &'a [Value]) -> Result<&'a Arc<str>> {
    let [Value::String(text)] = arguments else { bail!("`{name}` expects one string") };
    Ok(text)
}

fn parse(text: &str) -> serde_json::Result<serde_json::Value> {
    serde_json::from_str(text)
}

/// No deeper than what `parse` reads.
fn value(read: serde_json::Value) -> Value {
    match read {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(flag) => Value::from(flag),
        serde_json::Value::Number(found) => number(&found),
        serde_json::Value::String(text) => Value::from(text),
        serde_json::Value::Array(items) => Value::from(items.into_iter().map(value).collect::<Vec<_>>()),
        serde_json::Value::Object(members) => {
            let members = members.into_iter().map(|(name, member)| (Value::from(name), value(member)));
            members.collect::<regorus::value::Object>().into_value()
        }
    }
}

fn number(read: &serde_json::Number) -> Value {
    match (read.as_u64(), read.as_i64(), read.as_f64()) {
        (Some(whole), ..) => Value::from(whole),
        (_, Some(whole), _) => Value::from(whole),
        (.., Some(number)) => Value::from(number),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_reads_as_the_interpreter_reads_it_but_for_its_private_number() {
        for json in [
            "null",
            "true",
            "\"a\"",
            " 1 ",
            "-1",
            "1.5",
            "-0.0",
            "1e3",
            "18446744073709551615",
            "18446744073709551616",
            "[1, [\"b\"], {}]",
            "{\"b\": 1, \"a\": {\"c\": null}, \"b\": 2}",
            "1e308",
        ] {
            let own = Value::from_json_str(json).unwrap();
            assert_eq!(unmarshal(&[Value::from(json)]).unwrap(), own, "{json}");
            let number = to_number(&[Value::from(json)]).ok();
            assert_eq!(number, own.as_number().is_ok().then_some(own), "{json}");
            assert_eq!(is_valid(&[Value::from(json)]).unwrap(), Value::from(true), "{json}");
        }
        for json in ["", "1e309", "1e999999999", "01", "[", "1 2", "NaN"] {
            unmarshal(&[Value::from(json)]).expect_err(json);
            to_number(&[Value::from(json)]).expect_err(json);
            assert_eq!(is_valid(&[Value::from(json)]).unwrap(), Value::from(false), "{json}");
        }
        let private = Value::from("{\"\\u0024serde_json::private::Number\": \"1e9\"}");
        assert_eq!(unmarshal(std::slice::from_ref(&private)).unwrap().as_object().unwrap().len(), 1);
        to_number(&[private]).expect_err("an object");
    }
}
