//! Every mistake of a configuration, at once, each with its place.

use std::fmt;
use std::path::{Path, PathBuf};

use super::document::Node;
use super::place::{Place, Position};

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// `None`: not at one point of the file (a flag, a variable, a missing section).
    pub at: Option<Position>,
    pub place: Place,
    pub message: String,
}

/// Why a configuration cannot be used: all of it, in the order of the file. Printed one mistake a line, with a count at the end.
#[derive(Debug, thiserror::Error)]
pub struct Mistakes {
    file: PathBuf,
    list: Vec<Mistake>,
}

impl Mistakes {
    /// The mistakes, in the order in which they are printed.
    pub fn list(&self) -> &[Mistake] {
        &self.list
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        for mistake in &self.list {
            match mistake.at {
                Some(Position { line, column }) => write!(f, "{file}:{line}:{column}: ")?,
                None if mistake.place.is_outside() => {}
                None => write!(f, "{file}: ")?,
            }
            if mistake.place != Place::root() {
                write!(f, "{}: ", mistake.place)?;
            }
            writeln!(f, "{}", mistake.message)?;
        }
        let (count, they) = match self.list.len() {
            1 => ("1 mistake".to_owned(), "it is"),
            n => (format!("{n} mistakes"), "they are"),
        };
        write!(
            f,
            "{count} in the configuration; what it names (policies, certificates, secrets, files) is looked at when {they} mended"
        )
    }
}

/// Collects mistakes while the file is read and its meaning is built.
#[derive(Debug, Default)]
pub(super) struct Report {
    mistakes: Vec<Mistake>,
    /// Places whose value could not be used: what only follows from them is not reported again.
    broken: Vec<Place>,
    /// The checked file, for positions.
    root: Option<Node>,
    warnings: Vec<String>,
}

impl Report {
    /// Gives the checked file to the report, which from now on finds positions in it.
    pub fn attach(&mut self, root: Node) {
        self.root = Some(root);
    }

    /// A mistake that ends the reading.
    pub fn push(&mut self, mistake: Mistake) {
        self.mistakes.push(mistake);
    }

    /// What the operator should know although it is no mistake.
    pub fn warn(&mut self, text: &str) {
        self.warnings.push(text.to_owned());
    }

    /// A mistake whose position is known.
    pub fn at(&mut self, at: Position, place: &Place, message: impl Into<String>) {
        self.mistakes.push(Mistake { at: Some(at), place: place.clone(), message: message.into() });
    }

    /// A mistake in the meaning of the value at `place`; silent where the value itself was already reported.
    pub fn add(&mut self, place: &Place, message: impl Into<String>) {
        let follows = |broken: &Place| broken.covers(place) || (*place != Place::root() && place.covers(broken));
        if self.broken.iter().any(follows) {
            return;
        }
        let at = self.root.as_ref().filter(|_| !place.is_outside()).and_then(|root| root.locate(place));
        self.mistakes.push(Mistake { at, place: place.clone(), message: message.into() });
    }

    /// Marks a place whose value cannot be used.
    pub fn mark_broken(&mut self, place: Place) {
        self.broken.push(place);
    }

    /// Whether the value at `place`, or one that contains it, could not be used.
    pub fn is_broken(&self, place: &Place) -> bool {
        self.broken.iter().any(|broken| broken.covers(place))
    }

    /// Turns `result` into a value, or its error into a mistake at `place`.
    pub fn take<T, E: fmt::Display>(&mut self, place: &Place, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.add(place, error.to_string())).ok()
    }

    pub fn is_empty(&self) -> bool {
        self.mistakes.is_empty()
    }

    pub fn into_warnings(self) -> Vec<String> {
        self.warnings
    }

    /// Everything that is wrong, in the order of the file; what has no position stands at the end, as it was found.
    pub fn into_mistakes(self, file: &Path) -> Mistakes {
        let mut list = self.mistakes;
        list.sort_by_key(|mistake| mistake.at.map_or((1, None), |at| (0, Some(at))));
        Mistakes { file: file.to_owned(), list }
    }
}

/// `text` in quotes, shortened, with nothing in it that a terminal would obey.
pub(super) fn quoted(text: &str) -> String {
    const LONGEST: usize = 60;
    if text.chars().count() <= LONGEST {
        return format!("{text:?}");
    }
    let start: String = text.chars().take(LONGEST).collect();
    format!("{start:?}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_stand_in_the_order_of_the_file_and_are_counted() {
        let mut report = Report::default();
        report.add(&Place::outside("--listen"), "is wrong");
        report.at(Position { line: 9, column: 1 }, &Place::of("log"), "late");
        report.add(&Place::of("routes"), "missing");
        report.at(Position { line: 2, column: 3 }, &Place::of("user"), "early");
        let text = report.into_mistakes(Path::new("v.yaml")).to_string();
        assert_eq!(
            text,
            "v.yaml:2:3: user: early\nv.yaml:9:1: log: late\n--listen: is wrong\nv.yaml: routes: missing\n4 mistakes in the configuration; \
             what it names (policies, certificates, secrets, files) is looked at when they are mended"
        );
    }

    #[test]
    fn what_only_follows_from_a_broken_value_is_not_reported() {
        let mut report = Report::default();
        report.mark_broken(Place::of("secrets").index(0).key("value"));
        report.add(&Place::of("secrets").index(0), "no source");
        report.add(&Place::of("secrets").index(0).key("value"), "empty");
        report.add(&Place::of("secrets").index(1), "no source");
        assert_eq!(report.into_mistakes(Path::new("v.yaml")).list().len(), 1);
    }

    #[test]
    fn quoted_text_is_short_and_harmless() {
        assert_eq!(quoted("a\u{7}b"), "\"a\\u{7}b\"");
        assert_eq!(quoted(&"x".repeat(100)).chars().count(), 63);
    }
}
