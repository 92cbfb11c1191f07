//! Rules that depend on themselves. The interpreter would find that out only while deciding, and for functions only
//! when its stack is used up.

use std::collections::BTreeMap;

use super::Problem;
use super::program::{Module, Program, Rule, constant, dotted};

/// How deep evaluating a rule may go, with all the rules it needs. A level costs the interpreter some 2 KiB of stack,
/// measured, and a worker thread has 2 MiB.
const MAX_DEPTH: usize = 400;
/// What a rule costs beside what it says, in levels.
const RULE_DEPTH: usize = 2;

type Path = Vec<String>;
type Rules<'a> = BTreeMap<Path, Vec<(&'a Module, &'a Rule)>>;

/// Refuses circles, and what goes deeper than the stack allows.
pub(crate) fn check(program: &Program, problems: &mut Vec<Problem>) {
    let mut rules = Rules::new();
    for (module, rule) in program.rules() {
        rules.entry(module.path(rule)).or_default().push((module, rule));
    }
    let depends: BTreeMap<&Path, Vec<&Path>> =
        rules.iter().map(|(path, written)| (path, dependencies(program, &rules, written))).collect();
    let mut walk = Walk { rules: &rules, depends: &depends, depth: BTreeMap::new() };
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
    #[error(
        "`{}` goes too deep: the rules it needs, their nesting and their loops add up to more than {MAX_DEPTH}",
        dotted(from)
    )]
    Deep { from: &'a Path },
}

impl<'a> Found<'a> {
    fn at(&self) -> &'a Path {
        match self {
            Found::Circle { circle } => circle[0],
            Found::Deep { from } => from,
        }
    }
}

fn chain(circle: &[&Path]) -> String {
    let names: Vec<_> = circle.iter().chain(circle.first()).map(|path| dotted(path)).collect();
    names.join(" -> ")
}

/// Depth first, with its own stack: a policy may have thousands of rules.
struct Walk<'a> {
    rules: &'a Rules<'a>,
    depends: &'a BTreeMap<&'a Path, Vec<&'a Path>>,
    /// How deep each finished rule goes.
    depth: BTreeMap<&'a Path, usize>,
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
            if open.len() * RULE_DEPTH > MAX_DEPTH {
                return Err(Found::Deep { from: start });
            }
            if let Some(begin) = open.iter().position(|(path, _)| *path == needed) {
                return Err(Found::Circle { circle: open[begin..].iter().map(|(path, _)| *path).collect() });
            }
            if !self.depth.contains_key(needed) {
                open.push((needed, 0));
            }
        }
        Ok(())
    }

    fn finish(&mut self, path: &'a Path) -> Result<(), Found<'a>> {
        let own = self.rules[path].iter().map(|(_, rule)| rule.depth).max().unwrap_or(0) + RULE_DEPTH;
        let needed = self.depends[path].iter().filter_map(|needed| self.depth.get(needed)).max().unwrap_or(&0);
        if own + needed > MAX_DEPTH {
            return Err(Found::Deep { from: path });
        }
        self.depth.insert(path, own + needed);
        Ok(())
    }
}
