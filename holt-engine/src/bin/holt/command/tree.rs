//! `holt tree`: the names below a prefix, level by level.

use std::io::Write;

use holt_engine::Tree;

use super::{Below, Form, Keys};
use crate::escape::Escaped;
use crate::failure::Failure;
use crate::walk::SEPARATOR;

/// Draw the names below PREFIX as a tree
///
/// PREFIX is a prefix of keys, as in `ls`: end it in a slash to draw one directory.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    below: Below,
    /// Draw so many levels at most
    #[arg(short = 'L', long, value_name = "LEVELS", default_value_t = usize::MAX, hide_default_value = true)]
    depth: usize,
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    pub(super) keys: Keys,
}

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    let prefix = arguments.form.bytes(&arguments.below.prefix)?;
    let (_db, tree) = arguments.keys.read()?;
    let named = if prefix.is_empty() { b"." } else { &prefix[..] };
    arguments.below.write(out, named)?;
    let mut levels = vec![level(&tree, arguments, &prefix)?];
    // A stack of what is still to be drawn of each level, without recursion: keys can be deep.
    while let Some(names) = levels.last_mut() {
        let Some((name, start)) = names.pop() else {
            levels.pop();
            continue;
        };
        let last = names.is_empty();
        if !arguments.below.json && !arguments.below.null {
            for above in &levels[..levels.len() - 1] {
                out.write_all(if above.is_empty() { "    " } else { "│   " }.as_bytes())?;
            }
            out.write_all(if last { "└── " } else { "├── " }.as_bytes())?;
            writeln!(out, "{}", Escaped(&name[start..]))?;
        } else {
            arguments.below.write(out, &name)?;
        }
        if name.ends_with(&[SEPARATOR]) && levels.len() < arguments.depth {
            levels.push(level(&tree, arguments, &name)?);
        }
    }
    Ok(())
}

/// The names one level below `prefix`, the first one last, and where their own part begins.
fn level(tree: &Tree, arguments: &Arguments, prefix: &[u8]) -> Result<Level, Failure> {
    let start = prefix.iter().rposition(|byte| *byte == SEPARATOR).map_or(0, |slash| slash + 1);
    let mut names = Vec::new();
    for found in tree.prefix(prefix).delimiter([SEPARATOR]).keys_only().reverse() {
        let name = found.map_err(|error| arguments.keys.failed(error))?.into_name();
        // The directory itself is drawn above.
        if name.len() > start {
            names.push((name, start));
        }
    }
    Ok(names)
}

type Level = Vec<(Vec<u8>, usize)>;
