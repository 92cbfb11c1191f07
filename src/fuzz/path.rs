//! An accepted path is a fixed point of every normaliser that an upstream may have; a query leaves as it came.

use http::uri::PathAndQuery;

use super::text;
use crate::request::{path as paths, query};

/// A path, and a query behind the first question mark.
pub fn path(data: &[u8]) {
    let given = text(data);
    let (given_path, given_query) = given.split_once('?').map_or((given, None), |(path, query)| (path, Some(query)));
    let Ok(found) = paths::canonical(given_path) else { return };
    let canonical = paths::canonical(&found.path).unwrap_or_else(|error| panic!("{given:?}: {error}"));
    assert_eq!(canonical, found, "{given:?} is no fixed point");
    // As servers see it that decode once, twice, three times.
    let mut view = found.path.to_string();
    assert_stands(&view, false);
    for _ in 0..3 {
        view = percent_encoding::percent_decode_str(&view).decode_utf8().expect("UTF-8 all the way").into_owned();
        assert_stands(&view, found.encoded_slash);
    }
    // And as this program's own parser reads it on the way out.
    let target = match given_query.filter(|query| query::check(query).is_ok()) {
        Some(query) => format!("{}?{query}", found.path),
        None => found.path.to_string(),
    };
    let parsed: PathAndQuery = target.parse().unwrap_or_else(|error| panic!("{target:?} is no target: {error}"));
    assert_eq!((parsed.path(), parsed.as_str()), (&*found.path, &*target));
}

/// Every normaliser leaves it alone. `merging`: an encoded slash is the route's consent to slashes that appear later.
fn assert_stands(path: &str, encoded_slash: bool) {
    assert!(!path.chars().any(|c| c.is_ascii_control() || c == '\\'), "{path:?}");
    let dots = |segment: &str| matches!(segment.split(';').next(), Some("." | ".."));
    assert!(!path.split('/').any(dots), "a dot segment: {path:?}");
    assert_eq!(resolved(path), path, "RFC 3986 section 5.2.4");
    if !encoded_slash {
        assert!(!path.contains("//"), "slashes to merge: {path:?}");
    }
}

/// Dots resolved as RFC 3986 section 5.2.4 has it.
fn resolved(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            other => kept.push(other),
        }
    }
    format!("/{}", kept.join("/"))
}
