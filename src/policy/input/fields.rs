//! The table of names, and how each value is read off a call.

use std::borrow::Cow;

use http::HeaderMap;
use http::header::USER_AGENT;
use percent_encoding::percent_decode_str;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

mod identity;

use super::{Field, Node, Property, Shape};
use crate::authn::{Identity, User, Workload};
use crate::policy::{Error, Input};
use identity::{IDENTITY, identity};

/// More parameters than this and a policy that looks at them decides nothing; cutting the list could hide one from
/// a deny rule.
const MAX_QUERY_PARAMS: usize = 1024;

/// Every name a policy can read under `input`.
pub static DOCUMENT: &[Field] = &[
    always("method", Shape::Text, "The HTTP method as sent, case included.", |call| text(call.method)),
    always("path", Shape::Text, "The canonical path, byte for byte what goes upstream.", |call| text(call.path)),
    always("path_segments", Shape::List(&Shape::Text), SEGMENTS, |call| Ok(Some(path_segments(call.path)))),
    always("query", Shape::Text, "The raw query without `?`, byte for byte what goes upstream.", |call| {
        text(call.query)
    }),
    always("query_params", Shape::List(&PARAM), PARAMS, |call| query_params(call.query).map(Some)),
    always("headers", Shape::LowerCaseMap(&Shape::Text), HEADERS, |call| Ok(Some(headers(call.headers)))),
    always("upstream_host", Shape::Text, HOST, |call| text(call.upstream_host)),
    always("secret_id", Shape::Text, "The route's secret id; empty when the route injects nothing.", |call| {
        text(call.secret_id)
    }),
    always("request_id", Shape::Text, "The id under which the call is answered and recorded.", |call| {
        text(call.request_id)
    }),
    always("timestamp", Shape::Timestamp, "When the call was received, RFC 3339 in UTC.", timestamp),
    always("intercepted", Shape::Flag, "Whether the call was read inside an intercepted tunnel.", |call| {
        Ok(Some(Node::Flag(call.intercepted)))
    }),
    sometimes("namespace", "The workload's namespace. Absent for session-secret callers.", |call| {
        workload(call, |w| Some(&w.namespace))
    }),
    sometimes("service_account", "The workload's ServiceAccount. Never judge by it without the namespace.", |call| {
        workload(call, |w| Some(&w.service_account))
    }),
    sometimes("pod_name", "The workload's pod. Absent when the token is not bound to one.", |call| {
        workload(call, |w| w.pod_name.as_ref())
    }),
    sometimes("username", "`system:serviceaccount:NAMESPACE:NAME`.", |call| workload(call, |w| Some(&w.username))),
    always("user_id", Shape::Text, "The configured user's id; empty for workloads.", |call| user(call, |u| &u.id)),
    always("user_email", Shape::Text, "The configured user's address; empty for workloads.", |call| {
        user(call, |u| &u.email)
    }),
    always("user_org", Shape::Text, "The configured user's organisation; empty for workloads.", |call| {
        user(call, |u| &u.org)
    }),
    always(
        "agent_id",
        Shape::Text,
        "`X-Agent-Id`: what the caller claims, not what it proved. Empty when absent.",
        |call| text(call.agent_id),
    ),
    always("identity", Shape::Object(IDENTITY), "Who calls, as proved: every attribute known.", |call| {
        identity(call).map(Some)
    }),
    always("client", Shape::Object(CLIENT), "What the caller merely claims about itself.", |call| {
        Ok(Some(client(call)))
    }),
    always("source", Shape::Object(SOURCE), "Where the connection comes from.", |call| Ok(Some(source(call)))),
];

const SEGMENTS: &str =
    "The path split at `/` and percent-decoded; `/` alone gives none, a trailing `/` gives an empty last one.";
const PARAMS: &str =
    "The query's parameters in order, decoded as application/x-www-form-urlencoded, separated by `&` only.";
const HEADERS: &str = "The header fields that go upstream, names in lower case, repeated fields joined with `, `; credentials are never among them.";
const HOST: &str = "The route's canonical host, with its port when that is not the scheme's default.";

const PARAM: Shape = Shape::Object(&[
    property("key", Shape::Text, true, "The parameter's name, decoded."),
    property("value", Shape::Text, true, "Its value, decoded; empty when there is none."),
]);

const CLIENT: &[Property] = &[
    property("agent_id", Shape::Text, true, "`X-Agent-Id`; empty when absent."),
    property("user_agent", Shape::Text, true, "`User-Agent`; empty when absent."),
];

const SOURCE: &[Property] = &[property(
    "ip",
    Shape::Text,
    false,
    "The socket's peer, never a forwarded-for field; IPv4 also when mapped into IPv6. Absent over a Unix socket.",
)];

type Value = for<'a> fn(&Input<'a>) -> Result<Option<Node<'a>>, Error>;

const fn property(name: &'static str, shape: Shape, always: bool, about: &'static str) -> Property {
    Property { name, shape, always, about }
}

const fn always(name: &'static str, shape: Shape, about: &'static str, value: Value) -> Field {
    Field { property: property(name, shape, true, about), value }
}

const fn sometimes(name: &'static str, about: &'static str, value: Value) -> Field {
    Field { property: property(name, Shape::Text, false, about), value }
}

fn text(text: &str) -> Result<Option<Node<'_>>, Error> {
    Ok(Some(Node::text(text)))
}

fn workload<'a>(call: &Input<'a>, read: fn(&Workload) -> Option<&String>) -> Result<Option<Node<'a>>, Error> {
    Ok(match call.identity {
        Identity::Kubernetes(workload) => read(workload).map(|value| Node::text(value)),
        Identity::Static(_) => None,
    })
}

fn user<'a>(call: &Input<'a>, read: fn(&User) -> &String) -> Result<Option<Node<'a>>, Error> {
    Ok(Some(match call.identity {
        Identity::Kubernetes(_) => Node::text(""),
        Identity::Static(user) => Node::text(read(user)),
    }))
}

fn timestamp<'a>(call: &Input<'a>) -> Result<Option<Node<'a>>, Error> {
    let text = OffsetDateTime::from(call.timestamp)
        .format(&Rfc3339)
        .map_err(|error| Error::Evaluation(format!("the clock gives a time that RFC 3339 cannot write: {error}")))?;
    Ok(Some(Node::Text(text.into())))
}

fn path_segments(path: &str) -> Node<'_> {
    let inner = path.strip_prefix('/').unwrap_or(path);
    if inner.is_empty() {
        return Node::List(Vec::new());
    }
    Node::List(inner.split('/').map(|segment| Node::Text(percent_decode_str(segment).decode_utf8_lossy())).collect())
}

fn query_params(query: &str) -> Result<Node<'_>, Error> {
    let mut params = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        if params.len() == MAX_QUERY_PARAMS {
            return Err(Error::Evaluation(format!("the query has more than {MAX_QUERY_PARAMS} parameters")));
        }
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        params.push(Node::Object(vec![
            (Cow::Borrowed("key"), Node::Text(form_decode(key))),
            (Cow::Borrowed("value"), Node::Text(form_decode(value))),
        ]));
    }
    Ok(Node::List(params))
}

/// `+` is a space and `%xx` a byte; what is no valid escape stays as it is (WHATWG URL, urlencoded parsing).
fn form_decode(text: &str) -> Cow<'_, str> {
    if !text.contains('+') {
        return percent_decode_str(text).decode_utf8_lossy();
    }
    let spaced = text.replace('+', " ");
    Cow::Owned(percent_decode_str(&spaced).decode_utf8_lossy().into_owned())
}

fn headers(headers: &HeaderMap) -> Node<'_> {
    let fields = headers.keys().map(|name| {
        let mut values = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
        let first = values.next().unwrap_or_default();
        let joined = values.fold(first, |mut all, value| {
            let text = all.to_mut();
            text.push_str(", ");
            text.push_str(&value);
            all
        });
        (Cow::Borrowed(name.as_str()), Node::Text(joined))
    });
    Node::Object(fields.collect())
}

fn members<'a>(members: impl Iterator<Item = (&'static str, Option<Node<'a>>)>) -> Node<'a> {
    Node::Object(members.filter_map(|(name, value)| Some((Cow::Borrowed(name), value?))).collect())
}

fn client<'a>(call: &Input<'a>) -> Node<'a> {
    let user_agent = call.headers.get(USER_AGENT).map(|value| String::from_utf8_lossy(value.as_bytes()));
    Node::Object(vec![
        (Cow::Borrowed("agent_id"), Node::text(call.agent_id)),
        (Cow::Borrowed("user_agent"), Node::Text(user_agent.unwrap_or_default())),
    ])
}

fn source<'a>(call: &Input<'a>) -> Node<'a> {
    let ip = call.source.ip().map(|ip| Node::Text(ip.to_string().into()));
    members([("ip", ip)].into_iter())
}

#[cfg(test)]
mod tests;
