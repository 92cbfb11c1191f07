//! Names under `input`: a policy that asks for one that does not exist never gets an answer, so a rule that denies by
//! it never fires.

use super::program::{Program, Step};
use super::{Place, Problem, did_you_mean};
use crate::policy::input::{DOCUMENT, Field, Property, Shape};

/// What a policy reads of the input document.
#[derive(Debug, Default)]
pub(crate) struct Mentioned {
    fields: Vec<&'static Field>,
    /// What is wrong with the first mention of pod metadata where there is none.
    pub metadata: Option<Problem>,
}

impl Mentioned {
    fn add(&mut self, field: &'static Field) {
        if !self.fields.iter().any(|known| std::ptr::eq(*known, field)) {
            self.fields.push(field);
        }
    }

    /// Labels and annotations are there for workloads only when the configuration says so.
    fn note_metadata(&mut self, steps: &[Step], file: &str) {
        let [Step::Name(identity, _), Step::Name(name, place), ..] = steps else { return };
        if identity == "identity" && ["pod_labels", "pod_annotations", "namespace_labels"].contains(&name.as_str()) {
            let message = format!("there is no `input.identity.{name}` without kubernetes.pod_metadata: true");
            self.metadata.get_or_insert_with(|| Problem::at(file, *place, message));
        }
    }

    /// The fields to build for each call.
    pub fn fields(&self) -> &[&'static Field] {
        &self.fields
    }

    /// Whether one of them is never the same for two calls.
    pub fn differ_each_time(&self) -> bool {
        self.fields.iter().any(|field| matches!(field.property.name, "request_id" | "timestamp"))
    }
}

/// Checks every reference to `input`, and tells which fields the policy reads; all of them when it uses `input` as a
/// whole or by a computed name.
pub(crate) fn check(program: &Program, problems: &mut Vec<Problem>) -> Mentioned {
    let mut mentioned = Mentioned::default();
    for module in &program.modules {
        let imports = module.imports.iter().filter_map(|import| follow_import(&import.path, &mut mentioned).err());
        problems.extend(imports.map(|wrong| wrong.in_file(&module.file)));
        for import in &module.imports {
            if let [Step::Name(root, _), steps @ ..] = &import.path[..]
                && root == "input"
            {
                mentioned.note_metadata(steps, &module.file);
            }
        }
    }
    for (module, rule) in program.rules() {
        for reference in &rule.references {
            let Some(reference) = program.resolve(module, rule, reference) else { continue };
            if reference.root == "input" {
                let found = follow(&reference.steps, &mut mentioned);
                problems.extend(found.err().map(|wrong| wrong.in_file(&module.file)));
                mentioned.note_metadata(&reference.steps, &module.file);
            }
        }
        for name in ["input", "data"] {
            let shadow = rule
                .locals
                .get(name)
                .map(|place| Problem::at(&module.file, *place, format!("a variable must not be called `{name}`")));
            problems.extend(shadow);
        }
    }
    mentioned
}

struct Wrong {
    place: Place,
    message: String,
    hint: Option<String>,
}

impl Wrong {
    fn in_file(self, file: &str) -> Problem {
        Problem::at(file, self.place, self.message).hint(self.hint)
    }
}

fn follow_import(path: &[Step], mentioned: &mut Mentioned) -> Result<(), Wrong> {
    match path {
        [Step::Name(root, _), steps @ ..] if root == "input" && !steps.is_empty() => follow(steps, mentioned),
        _ => Ok(()),
    }
}

fn follow(steps: &[Step], mentioned: &mut Mentioned) -> Result<(), Wrong> {
    let (name, place, rest) = match steps.split_first() {
        Some((Step::Name(name, place), rest)) => (name, *place, rest),
        Some((Step::Constant(place), _)) => return Err(never("`input`", "an object", "by a number", *place)),
        Some((Step::Open, _)) | None => {
            DOCUMENT.iter().for_each(|field| mentioned.add(field));
            return Ok(());
        }
    };
    let Some(field) = DOCUMENT.iter().find(|field| field.property.name == name) else {
        let known = DOCUMENT.iter().map(|field| field.property.name);
        return Err(unknown("input", name, place, known));
    };
    mentioned.add(field);
    descend(&field.property.shape, format!("input.{name}"), rest)
}

fn descend(shape: &'static Shape, path: String, steps: &[Step]) -> Result<(), Wrong> {
    let Some((step, rest)) = steps.split_first() else { return Ok(()) };
    match (shape, step) {
        (Shape::Object(properties), Step::Name(name, place)) => match shape.property(name) {
            Some(property) => descend(&property.shape, format!("{path}.{name}"), rest),
            None => Err(unknown(&path, name, *place, properties.iter().map(|Property { name, .. }| *name))),
        },
        (Shape::LowerCaseMap(inner), Step::Name(name, place)) => {
            let lower = name.to_lowercase();
            if *name != lower {
                let message = format!("`{path}` has its names in lower case, so there is never a `{name}`");
                return Err(Wrong { place: *place, message, hint: Some(format!("use `{lower}`")) });
            }
            descend(inner, format!("{path}[\"{name}\"]"), rest)
        }
        (Shape::Map(inner), Step::Name(name, _)) => descend(inner, format!("{path}[\"{name}\"]"), rest),
        (Shape::List(item), Step::Constant(_) | Step::Open) => descend(item, format!("{path}[_]"), rest),
        (Shape::LowerCaseMap(inner) | Shape::Map(inner), Step::Open) => descend(inner, format!("{path}[_]"), rest),
        // Which member is meant is known only when evaluated.
        (Shape::Object(_), Step::Open) => Ok(()),
        (Shape::List(_), Step::Name(name, place)) => {
            Err(never(&format!("`{path}`"), shape.noun(), &format!("by the name `{name}`"), *place))
        }
        (_, Step::Constant(place)) => Err(never(&format!("`{path}`"), shape.noun(), "by a number", *place)),
        (_, Step::Name(name, place)) => {
            Err(never(&format!("`{path}`"), shape.noun(), &format!("by the name `{name}`"), *place))
        }
        // A string or a number has no members, but where that stands is not recorded for a computed one.
        (_, Step::Open) => Ok(()),
    }
}

fn never(what: &str, noun: &str, how: &str, place: Place) -> Wrong {
    Wrong { place, message: format!("{what} is {noun} and cannot be indexed {how}"), hint: None }
}

fn unknown(path: &str, name: &str, place: Place, known: impl Iterator<Item = &'static str>) -> Wrong {
    let message = format!("there is no `{path}.{name}`");
    let hint = known_elsewhere(name).or_else(|| did_you_mean(name, known));
    Wrong { place, message, hint }
}

/// Names that earlier documents of this project, or other proxies, use for what is there under another name.
fn known_elsewhere(name: &str) -> Option<String> {
    let here = match name {
        "k8s_namespace" => "input.namespace",
        "k8s_service_account" | "serviceaccount" => "input.service_account",
        "k8s_pod_name" | "k8s_pod" | "pod" => "input.pod_name",
        "k8s_username" => "input.username",
        "auth_method" => "input.identity.type",
        "host" | "hostname" => "input.upstream_host",
        "user" => "input.identity",
        "claimed" => "input.client",
        "parsed_path" => "input.path_segments",
        "parsed_query" => "input.query_params",
        "source_ip" | "remote_addr" => "input.source.ip",
        "body" | "parsed_body" => return Some("bodies in policy are not supported yet".to_owned()),
        _ => return None,
    };
    Some(format!("use `{here}`"))
}
