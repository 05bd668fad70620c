//! What a line of the shell can go on with: commands, options, trees and keys.

use holt_engine::Db;
use rustyline::completion::{Completer, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::Validator;
use rustyline::{Context, Helper};

use crate::walk::SEPARATOR;
use crate::words::{Words, quoted};

/// The most names that are offered at once.
const MOST: u64 = 1000;

/// A command of the shell, as completion knows it.
pub(crate) struct Known {
    pub(crate) name: String,
    /// Its long options, with their dashes.
    pub(crate) options: Vec<String>,
}

/// Completes the lines of a session.
pub(crate) struct Completion {
    pub(crate) db: Db,
    /// The tree that the session works on.
    pub(crate) tree: String,
    pub(crate) commands: Vec<Known>,
}

impl Completion {
    /// What the last word of `line` may become, and where that word begins.
    pub(crate) fn candidates(&self, line: &str) -> (usize, Vec<String>) {
        let read = Words::read(line);
        let last = read.last.unwrap_or_default();
        let start = if last.text.is_empty() && last.start == 0 { line.len() } else { last.start };
        let words: Vec<_> = read.words.iter().map(|word| word.text.as_str()).collect();
        let begun = |name: &&String| name.starts_with(&last.text);
        let found = match words.split_last() {
            None => {
                let names = self.commands.iter().map(|command| &command.name);
                names.filter(begun).cloned().collect()
            }
            Some((&previous, _)) if previous == "--tree" || words == ["use"] => {
                let names = self.db.tree_names().unwrap_or_default();
                names.iter().filter(begun).cloned().collect()
            }
            Some(_) if last.text.starts_with('-') => {
                let known = self.commands.iter().find(|command| command.name == words[0]);
                let options = known.into_iter().flat_map(|command| &command.options);
                options.filter(begun).cloned().collect()
            }
            Some(_) => self.keys(&words, &last.text),
        };
        (start, found.iter().map(|name| quoted(name)).collect())
    }

    /// The names one level below what has been typed of a key. An error offers nothing: the command
    /// will tell it.
    fn keys(&self, words: &[&str], begun: &str) -> Vec<String> {
        let named = words.iter().position(|word| *word == "--tree");
        let tree = named.and_then(|at| words.get(at + 1)).copied().unwrap_or(&self.tree);
        let Ok(tree) = self.db.open_tree(tree) else { return Vec::new() };
        let names = tree.prefix(begun).delimiter([SEPARATOR]).keys_only().limit(MOST);
        names
            .into_iter()
            .flatten()
            .filter_map(|name| String::from_utf8(name.into_name()).ok())
            .collect()
    }
}

impl Completer for Completion {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        at: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let (start, found) = self.candidates(&line[..at]);
        let pair = |replacement: String| Pair { display: replacement.clone(), replacement };
        Ok((start, found.into_iter().map(pair).collect()))
    }
}

impl Hinter for Completion {
    type Hint = String;
}

impl Highlighter for Completion {}
impl Validator for Completion {}
impl Helper for Completion {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_goes_on_with_what_there_is() {
        let db = Db::in_memory().unwrap();
        for key in ["usr/bin/env", "usr/bin/vi", "usr/lib/my file", "usr/lib/\u{fc}"] {
            db.default_tree().put(key.as_bytes(), b"").unwrap();
        }
        db.default_tree().put(b"usr/\xff", b"").unwrap();
        db.create_tree("users").unwrap().put(b"alice", b"").unwrap();
        let known = |name: &str, options: &[&str]| Known {
            name: name.to_owned(),
            options: options.iter().map(|option| (*option).to_owned()).collect(),
        };
        let commands = vec![known("get", &["--json", "--raw", "--tree"]), known("use", &[])];
        let completion = Completion { db, tree: "default".to_owned(), commands };
        for (line, start, expected) in [
            ("", 0, &["get", "use"][..]),
            ("g", 0, &["get"]),
            ("  u", 2, &["use"]),
            ("x", 0, &[]),
            ("get ", 4, &["usr/"]),
            ("get u", 4, &["usr/"]),
            ("get usr/", 4, &["usr/bin/", "usr/lib/"]),
            ("get 'usr/lib/", 4, &["usr/lib/my\\ file", "usr/lib/\u{fc}"]),
            ("get --json usr/bin/v", 11, &["usr/bin/vi"]),
            ("get --", 4, &["--json", "--raw", "--tree"]),
            ("get --r", 4, &["--raw"]),
            ("get --tree u", 11, &["users"]),
            ("get --tree users ", 17, &["alice"]),
            ("get --tree none ", 16, &[]),
            ("use ", 4, &["default", "users"]),
        ] {
            let (found_start, found) = completion.candidates(line);
            assert_eq!(
                (found_start, &found[..]),
                (start, &expected.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()[..]),
                "{line:?}"
            );
        }
    }
}
