//! Who calls: its names, and how they are read off a call.

use std::borrow::Cow;
use std::sync::Arc;

use super::{Node, Property, Shape, members, property};
use crate::authn::Identity;
use crate::authn::pods::Texts;
use crate::ca::ClientName;
use crate::policy::{Error, Input};

const TEXTS: Shape = Shape::Map(&Shape::Text);

pub(super) const IDENTITY: &[Property] = &[
    property("type", Shape::OneOf(&["kubernetes", "static"]), true, "How the caller is known."),
    property("namespace", Shape::Text, false, "Kubernetes: the namespace."),
    property("service_account", Shape::Text, false, "Kubernetes: the ServiceAccount's name."),
    property("username", Shape::Text, false, "Kubernetes: `system:serviceaccount:NAMESPACE:NAME`."),
    property("service_account_uid", Shape::Text, false, "Kubernetes: the ServiceAccount's uid."),
    property("pod_name", Shape::Text, false, "Kubernetes: the pod, when the token is bound to one."),
    property("pod_uid", Shape::Text, false, "Kubernetes: the pod's uid."),
    property("node_name", Shape::Text, false, "Kubernetes: the pod's node, when the API server tells it."),
    property("groups", Shape::List(&Shape::Text), false, "Kubernetes: the groups of the user."),
    property("audiences", Shape::List(&Shape::Text), false, "Kubernetes: the audiences that were confirmed."),
    property("expires_at", Shape::Number, false, "Kubernetes: when the token ends, seconds since the epoch."),
    property("pod_labels", TEXTS, false, "Kubernetes, with `pod_metadata`: the pod's labels."),
    property("pod_annotations", TEXTS, false, "Kubernetes, with `pod_metadata`: the pod's annotations."),
    property("namespace_labels", TEXTS, false, "Kubernetes, with `pod_metadata`: the namespace's labels."),
    property("cluster", Shape::Text, false, "Kubernetes: the cluster's configured name, when there are several."),
    property("user_id", Shape::Text, false, "Static: the configured user's id."),
    property("user_email", Shape::Text, false, "Static: the configured user's address."),
    property("user_org", Shape::Text, false, "Static: the configured user's organisation."),
    property("peer_uid", Shape::Number, false, "Over a Unix socket: the uid of the calling process. Not a credential."),
    property(
        "spiffe_id",
        Shape::Text,
        false,
        "The SPIFFE id in the client certificate that was shown, verified. Not a credential.",
    ),
    property(
        "certificate_subject",
        Shape::Text,
        false,
        "The same without a SPIFFE id: the subject, as RFC 4514 writes it.",
    ),
];

pub(super) fn identity<'a>(call: &Input<'a>) -> Result<Node<'a>, Error> {
    fn optional(text: &Option<String>) -> Option<Node<'_>> {
        text.as_deref().map(Node::text)
    }
    fn texts(texts: &Option<Arc<Texts>>) -> Result<Option<Node<'_>>, Error> {
        match texts.as_deref() {
            None => Ok(None),
            Some(Texts::Whole(texts)) => {
                let members = texts.iter().map(|(name, value)| (Cow::Borrowed(name.as_str()), Node::text(value)));
                Ok(Some(Node::Object(members.collect())))
            }
            // A part of them could lack the one that a rule denies by.
            Some(Texts::TooLarge) => Err(Error::Evaluation(
                "the labels or annotations of the caller's pod or namespace are too large".into(),
            )),
        }
    }
    let identity = call.identity;
    let (spiffe_id, subject) = match call.certificate {
        Some(ClientName::Spiffe(id)) => (Some(Node::text(id)), None),
        Some(ClientName::Subject(subject)) => (None, Some(Node::text(subject))),
        None => (None, None),
    };
    let common = [
        ("type", Some(Node::text(identity.kind()))),
        ("peer_uid", call.source.uid().map(|uid| Node::Number(uid.into()))),
        ("spiffe_id", spiffe_id),
        ("certificate_subject", subject),
    ];
    Ok(match identity {
        Identity::Kubernetes(workload) => members(common.into_iter().chain([
            ("namespace", Some(Node::text(&workload.namespace))),
            ("service_account", Some(Node::text(&workload.service_account))),
            ("username", Some(Node::text(&workload.username))),
            ("service_account_uid", optional(&workload.service_account_uid)),
            ("pod_name", optional(&workload.pod_name)),
            ("pod_uid", optional(&workload.pod_uid)),
            ("node_name", optional(&workload.node_name)),
            ("groups", Some(Node::texts(&workload.groups))),
            ("audiences", Some(Node::texts(&workload.audiences))),
            ("expires_at", workload.expires_at.map(Node::Number)),
            ("pod_labels", texts(&workload.metadata.pod_labels)?),
            ("pod_annotations", texts(&workload.metadata.pod_annotations)?),
            ("namespace_labels", texts(&workload.metadata.namespace_labels)?),
            ("cluster", optional(&workload.cluster)),
        ])),
        Identity::Static(user) => members(common.into_iter().chain([
            ("user_id", Some(Node::text(&user.id))),
            ("user_email", Some(Node::text(&user.email))),
            ("user_org", Some(Node::text(&user.org))),
        ])),
    })
}
