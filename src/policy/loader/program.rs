//! A parsed policy as facts: which rules there are, what they refer to, what they call.

use std::collections::{BTreeMap, BTreeSet};

use super::Place;

/// All modules of a policy.
#[derive(Debug)]
pub(crate) struct Program {
    pub modules: Vec<Module>,
    /// The first names of the rules of each package.
    packages: BTreeMap<Vec<String>, BTreeSet<String>>,
    /// The policy's own functions by path from below `data`, and how many arguments they take.
    functions: BTreeMap<Vec<String>, usize>,
}

#[derive(Debug)]
pub(crate) struct Module {
    pub file: String,
    /// Without `data`.
    pub package: Vec<String>,
    pub imports: Vec<Import>,
    pub rules: Vec<Rule>,
}

/// `import PATH as ALIAS`, of `data` or `input`.
#[derive(Debug)]
pub(crate) struct Import {
    pub alias: String,
    pub path: Vec<Step>,
}

/// One rule as written; several may share a name.
#[derive(Debug)]
pub(crate) struct Rule {
    /// Within the package, up to the first part that is not constant.
    pub name: Vec<String>,
    pub kind: Kind,
    pub place: Place,
    /// Where the rule is given a value that is plainly no boolean, and what it is.
    pub not_boolean: Vec<(Place, &'static str)>,
    pub references: Vec<Reference>,
    pub calls: Vec<Call>,
    /// What `with` puts in another's place: a value, or a function by its name.
    pub stand_ins: Vec<Reference>,
    /// Names that the rule declares for itself: arguments, `some`, `every`, `:=`.
    pub locals: BTreeMap<String, Place>,
    /// How deep evaluating it goes, in levels of the interpreter's stack: nesting and loops.
    pub depth: usize,
}

/// What a rule defines. All rules of one name must be of one kind; a default goes with any but sets and partial objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Default,
    /// `default f(_) := …`
    DefaultFunction {
        arguments: usize,
    },
    Complete,
    /// `name contains …`
    Set,
    /// `name[key] := …`
    Object,
    Function {
        arguments: usize,
    },
}

/// `root.step[step]…`
#[derive(Debug, Clone)]
pub(crate) struct Reference {
    pub root: String,
    pub steps: Vec<Step>,
    pub place: Place,
}

#[derive(Debug, Clone)]
pub(crate) enum Step {
    Name(String, Place),
    /// A constant that is no string.
    Constant(Place),
    /// Known only when evaluated.
    Open,
}

#[derive(Debug)]
pub(crate) struct Call {
    pub path: Vec<String>,
    pub arguments: usize,
    pub place: Place,
}

impl Reference {
    /// The constant part, `root.step.step`.
    pub fn name(&self) -> String {
        let mut name = vec![self.root.clone()];
        name.extend(constant(&self.steps));
        name.join(".")
    }
}

impl Program {
    pub fn new(modules: Vec<Module>) -> Self {
        let mut packages = BTreeMap::<_, BTreeSet<_>>::new();
        for module in &modules {
            let names = packages.entry(module.package.clone()).or_default();
            names.extend(module.rules.iter().filter_map(|rule| rule.name.first().cloned()));
        }
        let rules = modules.iter().flat_map(|module| module.rules.iter().map(move |rule| (module, rule)));
        let functions = rules.filter_map(|(module, rule)| Some((module.path(rule), rule.kind.arguments()?))).collect();
        Self { modules, packages, functions }
    }

    /// Every rule with its module.
    pub fn rules(&self) -> impl Iterator<Item = (&Module, &Rule)> {
        self.modules.iter().flat_map(|module| module.rules.iter().map(move |rule| (module, rule)))
    }

    /// The reference from `input` or `data` on; `None` when it refers to neither.
    pub fn resolve(&self, module: &Module, rule: &Rule, reference: &Reference) -> Option<Reference> {
        let Reference { root, steps, place } = reference;
        if root == "input" || root == "data" {
            return Some(reference.clone());
        }
        if rule.locals.contains_key(root) {
            return None;
        }
        let prefix: Vec<Step> = match module.imports.iter().find(|import| import.alias == *root) {
            Some(import) => import.path.clone(),
            None => self.own_rule(module, root, *place)?,
        };
        let (Some(Step::Name(root, _)), rest) = (prefix.first(), prefix.get(1..).unwrap_or_default()) else {
            return None;
        };
        Some(Reference { root: root.clone(), steps: [rest, steps].concat(), place: *place })
    }

    /// The policy's own function that is called: by full path, by an import, or as one of the same package.
    pub fn function(&self, module: &Module, call: &Call) -> Option<(&Vec<String>, usize)> {
        let (root, rest) = call.path.split_first()?;
        let import = module.imports.iter().find(|import| import.alias == *root);
        let candidates = [
            (root == "data").then(|| rest.to_vec()),
            import.map(|import| [&constant(&import.path[1..])[..], rest].concat()),
            Some([&module.package[..], &call.path].concat()),
        ];
        let known = |path: Vec<String>| self.functions.get_key_value(&path).map(|(path, takes)| (path, *takes));
        candidates.into_iter().flatten().find_map(known)
    }

    fn own_rule(&self, module: &Module, name: &str, place: Place) -> Option<Vec<Step>> {
        let is_rule = self.packages.get(&module.package)?.contains(name);
        let path = ["data"].into_iter().chain(module.package.iter().map(String::as_str)).chain([name]);
        is_rule.then(|| path.map(|name| Step::Name(name.to_owned(), place)).collect())
    }
}

impl Kind {
    /// How many arguments the function takes; `None` for what is no function.
    pub fn arguments(self) -> Option<usize> {
        match self {
            Kind::Function { arguments } | Kind::DefaultFunction { arguments } => Some(arguments),
            Kind::Default | Kind::Complete | Kind::Set | Kind::Object => None,
        }
    }
}

impl Module {
    /// The rule's path from below `data`.
    pub fn path(&self, rule: &Rule) -> Vec<String> {
        [&self.package[..], &rule.name].concat()
    }
}

/// The leading steps that are names.
pub(crate) fn constant(steps: &[Step]) -> Vec<String> {
    let name = |step: &Step| match step {
        Step::Name(name, _) => Some(name.clone()),
        Step::Constant(_) | Step::Open => None,
    };
    steps.iter().map_while(name).collect()
}

/// A path for people: `data.a.b["c-d"]`, with `data` put in front.
pub(crate) fn dotted(path: &[String]) -> String {
    let mut text = "data".to_owned();
    for name in path {
        if is_identifier(name) {
            text.push('.');
            text.push_str(name);
        } else {
            text.push('[');
            text.push_str(&serde_json::Value::from(name.as_str()).to_string());
            text.push(']');
        }
    }
    text
}

fn is_identifier(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
