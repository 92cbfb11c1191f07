//! Whether, and how often, one value is a part of another. The interpreter's own functions panic where there is nothing to look
//! for, as in the segments of the path `/`.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use regorus::Value;

/// `object.subset(whole, part)`: every member of an object, however deep, every element of a set, or the elements of an array
/// one after the other.
pub(super) fn subset(arguments: &[Value]) -> Result<Value> {
    let [whole, part] = arguments else { bail!("`object.subset` expects two arguments") };
    Ok(Value::from(is_part(whole, part)))
}

fn is_part(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            part.iter().all(|(key, member)| whole.get(key).is_some_and(|whole| is_part(whole, member)))
        }
        (Value::Set(whole), Value::Set(part)) => part.is_subset(whole),
        (Value::Array(whole), Value::Array(part)) => {
            part.is_empty() || whole.as_slice().windows(part.len()).any(|run| run == part.as_slice())
        }
        (Value::Array(whole), Value::Set(part)) => {
            let whole: BTreeSet<_> = whole.iter().collect();
            part.iter().all(|element| whole.contains(element))
        }
        (whole, part) => whole == part,
    }
}

/// `strings.count(text, part)`: places that do not overlap; of an empty part, one more than there are characters.
pub(super) fn count(arguments: &[Value]) -> Result<Value> {
    let [Value::String(text), Value::String(part)] = arguments else { bail!("`strings.count` expects two strings") };
    Ok(Value::from(text.matches(&**part).count()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_found_as_opa_finds_it_even_if_there_is_nothing_of_it() {
        let json = |text: &str| Value::from_json_str(text).expect("JSON");
        for (whole, part, expected) in [
            ("[]", "[]", true),
            ("[1, 2, 3]", "[]", true),
            ("[1, 2, 3]", "[2, 3]", true),
            ("[1, 2, 3]", "[1, 3]", false),
            ("[1]", "[1, 2]", false),
            (r#"{"a": {"b": [1], "c": 2}}"#, r#"{"a": {"b": []}}"#, true),
            (r#"{"a": {"b": [1], "c": 2}}"#, r#"{"a": {"b": [2]}}"#, false),
            (r#"{"a": 1}"#, r#"{"b": 1}"#, false),
        ] {
            assert_eq!(subset(&[json(whole), json(part)]).expect(whole), Value::from(expected), "{whole} {part}");
        }
        let set =
            |text: &str| Value::from(json(text).as_array().expect("elements").iter().cloned().collect::<BTreeSet<_>>());
        assert_eq!(subset(&[set("[1, 2]"), set("[]")]).expect("sets"), Value::from(true));
        assert_eq!(subset(&[json("[1, 2]"), set("[2, 1]")]).expect("an array and a set"), Value::from(true));
        assert_eq!(subset(&[json("[1, 2]"), set("[3]")]).expect("an array and a set"), Value::from(false));
        for (text, part, expected) in
            [("", "", 1_u64), ("äöü", "", 4), ("aaa", "aa", 1), ("cheese", "e", 3), ("x", "y", 0)]
        {
            assert_eq!(
                count(&[Value::from(text), Value::from(part)]).expect(text),
                Value::from(expected),
                "{text} {part}"
            );
        }
        count(&[Value::from("a"), Value::from(1)]).expect_err("a number");
        subset(&[Value::Null]).expect_err("one argument");
    }
}
