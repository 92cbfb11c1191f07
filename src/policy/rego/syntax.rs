//! Turns the interpreter's syntax tree into the loader's facts.

use regorus::unstable as ast;
use regorus::unstable::{AssignOp, Expr, Literal, Query, Ref, RuleAssign, RuleHead, Span};

use crate::policy::loader::Place;
use crate::policy::loader::program::{Call, Import, Kind, Module, Reference, Rule, Step, constant};

mod path;

use path::{chain, constant_path, place, root};

/// The facts of one module.
pub(super) fn module(file: &str, module: &ast::Module) -> Module {
    let package = constant(&chain(&module.package.refr).unwrap_or_default());
    Module {
        file: file.to_owned(),
        package,
        imports: module.imports.iter().filter_map(import).collect(),
        rules: module.policy.iter().map(|parsed| rule(parsed)).collect(),
    }
}

fn import(import: &ast::Import) -> Option<Import> {
    let path = chain(&import.refr)?;
    let (Some(Step::Name(root, _)), Some(Step::Name(last, _))) = (path.first(), path.last()) else { return None };
    if root != "data" && root != "input" {
        return None;
    }
    let alias = import.r#as.as_ref().map_or(last.clone(), |alias| alias.text().to_owned());
    Some(Import { alias, path })
}

fn rule(rule: &ast::Rule) -> Rule {
    let mut facts = Facts::default();
    let (name, kind, span) = match rule {
        ast::Rule::Default { refr, args, value, span, .. } => {
            facts.pattern_all(args);
            facts.value(value);
            let kind = if args.is_empty() { Kind::Default } else { Kind::DefaultFunction { arguments: args.len() } };
            (facts.head(refr).0, kind, span)
        }
        ast::Rule::Spec { head, bodies, span } => {
            let (name, kind) = facts.rule_head(head);
            for body in bodies {
                facts.assign(body.assign.as_ref());
                facts.query(&body.query);
            }
            (name, kind, span)
        }
    };
    let depth = facts.deepest + facts.loops;
    let Facts { not_boolean, references, calls, stand_ins, locals, .. } = facts;
    let locals = locals.into_iter().collect();
    Rule { name, kind, place: place(span), not_boolean, references, calls, stand_ins, locals, depth }
}

/// Gathers what one rule says.
#[derive(Default)]
struct Facts {
    not_boolean: Vec<(Place, &'static str)>,
    references: Vec<Reference>,
    calls: Vec<Call>,
    stand_ins: Vec<Reference>,
    locals: Vec<(String, Place)>,
    level: usize,
    deepest: usize,
    /// Each loop evaluates the rest of its body from inside.
    loops: usize,
}

impl Facts {
    fn rule_head(&mut self, head: &RuleHead) -> (Vec<String>, Kind) {
        match head {
            RuleHead::Compr { refr, assign, .. } => {
                self.assign(assign.as_ref());
                let (name, is_constant) = self.head(refr);
                (name, if is_constant { Kind::Complete } else { Kind::Object })
            }
            RuleHead::Set { refr, key, .. } => {
                self.expr_all(key.as_slice());
                (self.head(refr).0, Kind::Set)
            }
            RuleHead::Func { refr, args, assign, .. } => {
                self.pattern_all(args);
                self.assign(assign.as_ref());
                (self.head(refr).0, Kind::Function { arguments: args.len() })
            }
        }
    }

    /// The constant part of a rule's name, and whether that is all of it.
    fn head(&mut self, refr: &Expr) -> (Vec<String>, bool) {
        let steps = chain(refr).unwrap_or_default();
        self.indexes(refr);
        let name = constant(&steps);
        let is_all = name.len() == steps.len();
        (name, is_all)
    }

    fn assign(&mut self, assign: Option<&RuleAssign>) {
        if let Some(assign) = assign {
            self.value(&assign.value);
        }
    }

    fn value(&mut self, value: &Expr) {
        if let Some(noun) = no_boolean(value) {
            self.not_boolean.push((place(value.span()), noun));
        }
        self.expr(value);
    }

    fn query(&mut self, query: &Query) {
        for statement in &query.stmts {
            self.literal(&statement.literal);
            for with in &statement.with_mods {
                self.replaced(&with.refr);
                self.stand_in(&with.r#as);
            }
        }
    }

    /// `with f as g`: `g` is called, though no call names it.
    fn stand_in(&mut self, expr: &Expr) {
        let before = self.references.len();
        self.expr(expr);
        if matches!(expr, Expr::Var { .. } | Expr::RefDot { .. } | Expr::RefBrack { .. }) {
            self.stand_ins.extend_from_slice(&self.references[before..]);
        }
    }

    fn literal(&mut self, literal: &Literal) {
        match literal {
            Literal::SomeVars { vars, .. } => vars.iter().for_each(|var| self.local(var)),
            Literal::SomeIn { key, value, collection, .. } => {
                self.loops += 1;
                self.pattern_all(key.as_slice());
                self.pattern(value);
                self.expr(collection);
            }
            Literal::Expr { expr, .. } | Literal::NotExpr { expr, .. } => self.expr(expr),
            Literal::Every { key, value, domain, query, .. } => {
                self.loops += 1;
                key.iter().chain([value]).for_each(|var| self.local(var));
                self.expr(domain);
                self.query(query);
            }
        }
    }

    fn local(&mut self, span: &Span) {
        self.locals.push((span.text().to_owned(), place(span)));
    }

    fn pattern_all(&mut self, patterns: &[Ref<Expr>]) {
        patterns.iter().for_each(|pattern| self.pattern(pattern));
    }

    /// A place where names are declared: `[x, {"k": y}]`.
    fn pattern(&mut self, pattern: &Expr) {
        match pattern {
            Expr::Var { span, .. } => self.local(span),
            Expr::Array { items, .. } | Expr::Set { items, .. } => self.pattern_all(items),
            Expr::Object { fields, .. } => {
                for (_, key, value) in fields {
                    self.expr(key);
                    self.pattern(value);
                }
            }
            other => self.expr(other),
        }
    }

    fn expr_all(&mut self, exprs: &[Ref<Expr>]) {
        exprs.iter().for_each(|expr| self.expr(expr));
    }

    fn expr(&mut self, expr: &Expr) {
        self.level += 1;
        self.deepest = self.deepest.max(self.level);
        self.parts(expr);
        self.level -= 1;
    }

    fn parts(&mut self, expr: &Expr) {
        match expr {
            Expr::String { .. }
            | Expr::RawString { .. }
            | Expr::Number { .. }
            | Expr::Bool { .. }
            | Expr::Null { .. } => {}
            Expr::Var { .. } | Expr::RefDot { .. } | Expr::RefBrack { .. } => self.reference(expr, &[]),
            Expr::Array { items, .. } | Expr::Set { items, .. } => self.expr_all(items),
            Expr::Object { fields, .. } => fields.iter().for_each(|(_, key, value)| {
                self.expr(key);
                self.expr(value);
            }),
            Expr::ArrayCompr { term, query, .. } | Expr::SetCompr { term, query, .. } => {
                self.expr(term);
                self.query(query);
            }
            Expr::ObjectCompr { key, value, query, .. } => {
                self.expr(key);
                self.expr(value);
                self.query(query);
            }
            Expr::Call { fcn, params, .. } => self.call(fcn, params),
            Expr::UnaryExpr { expr, .. } => self.expr(expr),
            Expr::BinExpr { lhs, rhs, .. } | Expr::BoolExpr { lhs, rhs, .. } | Expr::ArithExpr { lhs, rhs, .. } => {
                self.expr(lhs);
                self.expr(rhs);
            }
            Expr::AssignExpr { op, lhs, rhs, .. } => {
                match op {
                    AssignOp::ColEq => self.pattern(lhs),
                    AssignOp::Eq => self.expr(lhs),
                }
                self.expr(rhs);
            }
            Expr::Membership { key, value, collection, .. } => {
                self.expr_all(key.as_slice());
                self.expr(value);
                self.expr(collection);
            }
        }
    }

    /// `object.get(input, "a", …)` and `object.get(input, ["a", "b"], …)` read a name as `input.a` and `input.a.b` do.
    fn call(&mut self, fcn: &Expr, params: &[Ref<Expr>]) {
        let path = constant(&chain(fcn).unwrap_or_default());
        if let ([object, get], [from, key, rest @ ..]) = (&path[..], params)
            && (object.as_str(), get.as_str()) == ("object", "get")
            && let Some(further) = constant_path(key)
        {
            self.reference(from, &further);
            self.expr_all(rest);
        } else {
            self.expr_all(params);
        }
        // The span of a call begins at its parenthesis, that of a name at the name.
        self.calls.push(Call { path, arguments: params.len(), place: place(root(fcn).span()) });
    }

    /// Records a reference, and what its indexes refer to.
    fn reference(&mut self, expr: &Expr, further: &[Step]) {
        self.indexes(expr);
        let Some(steps) = chain(expr) else { return self.expr(root(expr)) };
        if let Some((Step::Name(root, place), steps)) = steps.split_first() {
            self.loops += steps.iter().filter(|step| matches!(step, Step::Open)).count();
            let steps = [steps, further].concat();
            self.references.push(Reference { root: root.clone(), steps, place: *place });
        }
    }

    /// `with input.a as …` names `a`; `with input as …` reads nothing, and what is replaced in `data` is not read.
    fn replaced(&mut self, refr: &Expr) {
        if let Some([Step::Name(root, place), steps @ ..]) = chain(refr).as_deref()
            && root == "input"
            && !steps.is_empty()
        {
            self.references.push(Reference { root: root.clone(), steps: steps.to_vec(), place: *place });
        }
    }

    fn indexes(&mut self, mut expr: &Expr) {
        loop {
            match expr {
                Expr::RefDot { refr, .. } => expr = refr,
                Expr::RefBrack { refr, index, .. } => {
                    self.expr(index);
                    expr = refr;
                }
                _ => return,
            }
        }
    }
}

fn no_boolean(value: &Expr) -> Option<&'static str> {
    Some(match value {
        Expr::String { .. } | Expr::RawString { .. } => "a string",
        Expr::Number { .. } | Expr::ArithExpr { .. } | Expr::UnaryExpr { .. } => "a number",
        Expr::Null { .. } => "null",
        Expr::Array { .. } | Expr::ArrayCompr { .. } => "an array",
        Expr::Set { .. } | Expr::SetCompr { .. } | Expr::BinExpr { .. } => "a set",
        Expr::Object { .. } | Expr::ObjectCompr { .. } => "an object",
        _ => return None,
    })
}
