//! Where in the configuration something stands: `routes[0].upstream_host`, `--listen`, `VEILWARDEN_LISTEN`.

use std::fmt;

/// A line and a column of the file, both counted from 1; the column counts characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

/// The path to a key of the file, or the flag or variable that a value came from.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    steps: Vec<Step>,
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// A flag or a variable: not in the file at all.
    Outside(String),
    Key(String),
    Index(usize),
}

impl Place {
    /// The whole file.
    pub fn root() -> Place {
        Place::default()
    }

    /// A path of keys, separated by dots.
    pub fn of(path: &str) -> Place {
        Place { steps: path.split('.').map(|key| Step::Key(key.to_owned())).collect() }
    }

    /// A flag (`--listen`) or a variable (`VEILWARDEN_LISTEN`).
    pub fn outside(name: impl Into<String>) -> Place {
        Place { steps: vec![Step::Outside(name.into())] }
    }

    /// The key `name` below this place.
    pub fn key(&self, name: &str) -> Place {
        self.then(Step::Key(name.to_owned()))
    }

    /// The list entry `index`, counted from 0, below this place.
    pub fn index(&self, index: usize) -> Place {
        self.then(Step::Index(index))
    }

    fn then(&self, step: Step) -> Place {
        let mut steps = self.steps.clone();
        steps.push(step);
        Place { steps }
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Whether the value came from a flag or a variable.
    pub fn is_outside(&self) -> bool {
        matches!(self.steps.first(), Some(Step::Outside(_)))
    }

    /// Whether `other` is this place or stands below it.
    pub fn covers(&self, other: &Place) -> bool {
        other.steps.starts_with(&self.steps)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, step) in self.steps.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(name) | Step::Outside(name) => {
                    // A key is the file's own text: control characters in it must not reach a terminal.
                    write!(f, "{}{}", if n > 0 { "." } else { "" }, name.escape_debug())?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_as_people_write_it() {
        assert_eq!(Place::of("routes").index(2).key("timeouts").key("idle").to_string(), "routes[2].timeouts.idle");
        assert_eq!(Place::outside("--listen").to_string(), "--listen");
        assert_eq!(Place::root().to_string(), "");
    }

    #[test]
    fn a_key_cannot_write_to_the_terminal() {
        assert_eq!(Place::root().key("a\u{1b}[31mb").to_string(), "a\\u{1b}[31mb");
    }

    #[test]
    fn a_place_covers_itself_and_what_is_below() {
        let route = Place::of("routes").index(1);
        assert!(route.covers(&route.key("ca_file")) && route.covers(&route));
        assert!(!route.covers(&Place::of("routes").index(10)) && !route.covers(&Place::of("routes")));
    }
}
