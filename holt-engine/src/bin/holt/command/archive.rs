//! The archive as a form of `holt export` and `holt import`.

use std::io::{Read, Write};

use holt_engine::{Create, Error, ImportOptions};
use serde_json::json;

use super::Keys;
use crate::failure::Failure;
use crate::json;

/// Writes an archive: of everything, or of what begins with a prefix in one tree.
pub(super) fn write(keys: &Keys, part: Option<&[u8]>, out: &mut dyn Write) -> Result<(), Failure> {
    let db = keys.database.read()?;
    let export = db.snapshot().map_err(|error| keys.failed(error))?.export();
    let export = match part {
        Some(prefix) => export.prefix(&keys.tree, prefix),
        None => export,
    };
    match export.write_to(out) {
        Ok(_) => Ok(()),
        // The output is not the database's.
        Err(Error::Io { source, .. }) => Err(source.into()),
        Err(error) => Err(keys.failed(error)),
    }
}

/// Reads an archive into the trees that it names.
pub(super) fn read(
    keys: &Keys,
    merge: bool,
    as_json: bool,
    input: &mut dyn Read,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let failed = |error| keys.failed(error);
    let db = keys.database.write(Create::IfMissing)?;
    let imported = db.import(input, ImportOptions::new().merge(merge)).map_err(failed)?;
    keys.done(db)?;
    let (records, trees) = (imported.records, imported.trees);
    if as_json {
        return json::line(out, &json!({ "records": records, "trees": trees }));
    }
    writeln!(out, "{records} records stored in {trees} trees")?;
    Ok(())
}
