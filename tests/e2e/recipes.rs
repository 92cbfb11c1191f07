//! The pods that the documents show, run as they stand: only what is the reader's own is put in.

use serde_json::{Value, json};

use crate::caller::client_image;
use crate::kubectl;
use crate::markdown::Document;

/// The pod of this name in a document, which has to hold each of the texts that `put_in` has something else for.
pub fn pod(document: &str, name: &str, put_in: &[(&str, &str)]) -> Value {
    let blocks = Document::read(document).blocks();
    let is_it = |text: &str| text.contains("\nkind: Pod\n") && text.contains(&format!("\n  name: {name}\n"));
    let block = blocks.into_iter().find(|block| block.language == "yaml" && is_it(&block.text));
    let mut text = block.unwrap_or_else(|| panic!("{document} has no pod {name}")).text;
    for (theirs, ours) in put_in {
        assert!(text.contains(theirs), "{document}, pod {name}: no {theirs}");
        text = text.replace(theirs, ours);
    }
    let mut pod: Value = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{document}: {error}"));
    pod["spec"]["serviceAccountName"] = "caller".into();
    let container = &mut pod["spec"]["containers"][0];
    container["image"] = client_image().into();
    container["imagePullPolicy"] = "IfNotPresent".into();
    pod["spec"]["terminationGracePeriodSeconds"] = 1.into();
    pod
}

/// With a shell script in the place of the command that the document names last.
pub fn running(mut pod: Value, script: &str) -> Value {
    let command = pod["spec"]["containers"][0]["command"].as_array_mut().expect("a command");
    command.pop();
    command.extend(["sh", "-c", script].map(Value::from));
    pod
}

/// Makes it, under another name, on a node or on any.
pub fn create(mut pod: Value, namespace: &str, name: &str, node: Option<&str>) {
    pod["metadata"] = json!({"name": name, "namespace": namespace});
    if let Some(node) = node {
        pod["spec"]["nodeSelector"] = json!({"kubernetes.io/hostname": node});
    }
    kubectl::applied(&pod.to_string());
}
