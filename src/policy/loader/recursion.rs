//! Rules that depend on themselves. The interpreter would find that out only while deciding, and for functions only
//! when its stack is used up.

use std::collections::BTreeMap;

use super::Problem;
use super::program::{Module, Program, Rule, constant, dotted};

/// How many rules may depend on one another in a chain. Each link costs the interpreter stack, and a worker thread
/// has 2 MiB.
const MAX_CHAIN: usize = 64;

type Path = Vec<String>;
type Rules<'a> = BTreeMap<Path, Vec<(&'a Module, &'a Rule)>>;

/// Refuses circles, and chains longer than the stack allows.
pub(crate) fn check(program: &Program, problems: &mut Vec<Problem>) {
    let mut rules = Rules::new();
    for (module, rule) in program.rules() {
        rules.entry(module.path(rule)).or_default().push((module, rule));
    }
    let depends: BTreeMap<&Path, Vec<&Path>> =
        rules.iter().map(|(path, written)| (path, dependencies(program, &rules, written))).collect();
    let mut walk = Walk { depends: &depends, length: BTreeMap::new() };
    for path in rules.keys() {
        if let Err(found) = walk.from(path) {
            let (module, rule) = rules[found.at()][0];
            problems.push(Problem::at(&module.file, rule.place, found.to_string()));
            return;
        }
    }
}

fn dependencies<'a>(program: &Program, rules: &'a Rules<'_>, written: &[(&Module, &Rule)]) -> Vec<&'a Path> {
    let mut found = Vec::new();
    for (module, rule) in written {
        for reference in &rule.references {
            let Some(reference) = program.resolve(module, rule, reference) else { continue };
            if reference.root == "data" {
                found.extend(related(rules, &constant(&reference.steps)));
            }
        }
        let called = rule.calls.iter().filter_map(|call| program.function(module, call));
        found.extend(called.filter_map(|(path, _)| rules.get_key_value(path).map(|(path, _)| path)));
    }
    found.sort();
    found.dedup();
    found
}

/// The rules at, above and below `path`.
fn related<'a>(rules: &'a Rules<'_>, path: &[String]) -> Vec<&'a Path> {
    let below = rules.range(path.to_vec()..).map(|(rule, _)| rule).take_while(|rule| rule.starts_with(path));
    let above = (1..path.len()).filter_map(|length| rules.get_key_value(&path[..length]).map(|(rule, _)| rule));
    below.chain(above).collect()
}

#[derive(Debug, thiserror::Error)]
enum Found<'a> {
    #[error("`{}` depends on itself: {}", dotted(circle[0]), chain(circle))]
    Circle { circle: Vec<&'a Path> },
    #[error("`{}` needs a chain of more than {MAX_CHAIN} rules", dotted(from))]
    Chain { from: &'a Path },
}

impl<'a> Found<'a> {
    fn at(&self) -> &'a Path {
        match self {
            Found::Circle { circle } => circle[0],
            Found::Chain { from } => from,
        }
    }
}

fn chain(circle: &[&Path]) -> String {
    let names: Vec<_> = circle.iter().chain(circle.first()).map(|path| dotted(path)).collect();
    names.join(" -> ")
}

/// Depth first, with its own stack: a policy may have thousands of rules.
struct Walk<'a> {
    depends: &'a BTreeMap<&'a Path, Vec<&'a Path>>,
    /// The longest chain from each finished rule on.
    length: BTreeMap<&'a Path, usize>,
}

impl<'a> Walk<'a> {
    fn from(&mut self, start: &'a Path) -> Result<(), Found<'a>> {
        let mut open: Vec<(&'a Path, usize)> = vec![(start, 0)];
        while let Some((path, next)) = open.last_mut() {
            let path = *path;
            let Some(needed) = self.depends[path].get(*next).copied() else {
                self.finish(path)?;
                open.pop();
                continue;
            };
            *next += 1;
            if open.len() > MAX_CHAIN {
                return Err(Found::Chain { from: start });
            }
            if let Some(begin) = open.iter().position(|(path, _)| *path == needed) {
                return Err(Found::Circle { circle: open[begin..].iter().map(|(path, _)| *path).collect() });
            }
            if !self.length.contains_key(needed) {
                open.push((needed, 0));
            }
        }
        Ok(())
    }

    fn finish(&mut self, path: &'a Path) -> Result<(), Found<'a>> {
        let longest = self.depends[path].iter().filter_map(|needed| self.length.get(needed)).max().unwrap_or(&0) + 1;
        if longest > MAX_CHAIN {
            return Err(Found::Chain { from: path });
        }
        self.length.insert(path, longest);
        Ok(())
    }
}
