//! What an opening makes of what it finds: the table of recovery.
//!
//! [`Evidence`] is what was found, [`decide`] takes the first row of [`ROWS`] that holds.
//! Nothing here reads or writes.

/// The manifest file of the highest number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ManifestEvidence {
    /// No file has a manifest's name.
    Absent,
    /// It is of a format version that this build does not know.
    Newer,
    /// Its header, its base or a record that was durable does not decode, or its records do
    /// not add up to a mapping.
    Damaged,
    /// It ends with bytes that are no record.
    Torn,
    /// It ends with its last record.
    Clean,
}

/// The data file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DataEvidence {
    /// There is none.
    Absent,
    /// Its marks are of a format version that this build does not know.
    Newer,
    /// It ends with its marks, and they name no commit: new, or not quite made.
    Bare,
    /// It holds more, and neither mark can be read.
    Unmarked,
    /// It holds more, and a mark can be read.
    Marked,
}

/// The better of the data file's marks beside the newest commit of the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MarkEvidence {
    /// There is no mark or no manifest to compare.
    None,
    /// The mark is of another database.
    Foreign,
    /// It names a commit before the newest.
    Behind,
    /// It names the newest commit.
    Same,
    /// It names the sequence of a commit of this manifest, and not that commit.
    Other,
    /// It names a commit that the manifest does not have.
    Ahead,
}

/// All that the decision rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Evidence {
    pub(crate) manifest: ManifestEvidence,
    pub(crate) data: DataEvidence,
    pub(crate) mark: MarkEvidence,
    /// The data file reaches to the end of every extent of the newest state.
    pub(crate) reaches: bool,
    /// There are files beside the store's own and the lock: a log, above all.
    pub(crate) others: bool,
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Open at the newest commit; `proven`: it is known to be durable.
    Open { proven: bool },
    /// There is no database.
    NoStore,
    /// A database is there that this build cannot read.
    NewerManifest,
    /// As above.
    NewerData,
    /// All manifests are gone.
    ManifestMissing,
    /// The data file is gone.
    DataMissing,
    /// The manifest is damaged.
    ManifestDamaged,
    /// The data file's marks are damaged.
    NoMark,
    /// The data file is of another database.
    ForeignData,
    /// The manifest has lost commits.
    LostCommit,
    /// The manifest is not the one that the data file knew.
    OtherCommit,
    /// The data file has lost its end.
    DataCutShort,
}

/// A row of the table.
pub(crate) struct Row {
    /// What was found, in words.
    #[cfg_attr(
        any(not(test), loom),
        expect(dead_code, reason = "for the reader, and for reports of tests")
    )]
    pub(crate) label: &'static str,
    pub(crate) holds: fn(&Evidence) -> bool,
    pub(crate) decision: Decision,
    /// What leads here.
    #[cfg_attr(
        any(not(test), loom),
        expect(dead_code, reason = "for the reader, and for reports of tests")
    )]
    pub(crate) cause: &'static str,
}

fn has_manifest(e: &Evidence) -> bool {
    e.manifest != ManifestEvidence::Absent
}

fn has_content(e: &Evidence) -> bool {
    matches!(e.data, DataEvidence::Unmarked | DataEvidence::Marked)
}

/// The rows, in order: the first that holds decides. The last always holds.
pub(crate) const ROWS: &[Row] = &[
    Row {
        label: "manifest of a newer version",
        holds: |e| e.manifest == ManifestEvidence::Newer,
        decision: Decision::NewerManifest,
        cause: "a newer build wrote the database",
    },
    Row {
        label: "data of a newer version",
        holds: |e| e.data == DataEvidence::Newer,
        decision: Decision::NewerData,
        cause: "a newer build wrote the database",
    },
    Row {
        label: "images without a manifest",
        holds: |e| !has_manifest(e) && has_content(e),
        decision: Decision::ManifestMissing,
        cause: "somebody removed the manifest: a crash keeps one from the first commit on",
    },
    Row {
        label: "other files without a manifest",
        holds: |e| !has_manifest(e) && e.others,
        decision: Decision::ManifestMissing,
        cause: "as above, before the first checkpoint; or this is no database's directory",
    },
    Row {
        label: "nothing yet",
        holds: |e| !has_manifest(e),
        decision: Decision::NoStore,
        cause: "an empty directory, or a crash before the creation of a database returned",
    },
    Row {
        label: "damaged manifest",
        holds: |e| e.manifest == ManifestEvidence::Damaged,
        decision: Decision::ManifestDamaged,
        cause: "a medium that lost what was synced: no crash damages a named manifest's records \
                before the last",
    },
    Row {
        label: "no data file",
        holds: |e| e.data == DataEvidence::Absent,
        decision: Decision::DataMissing,
        cause: "somebody removed it: it was durable before the first manifest had a name",
    },
    Row {
        label: "no mark",
        holds: |e| e.mark == MarkEvidence::None,
        decision: Decision::NoMark,
        cause: "a medium that lost what was synced: a crash can tear only the mark that is newer",
    },
    Row {
        label: "another database's data file",
        holds: |e| e.mark == MarkEvidence::Foreign,
        decision: Decision::ForeignData,
        cause: "somebody mixed the files of two databases",
    },
    Row {
        label: "the manifest lost durable commits",
        holds: |e| e.mark == MarkEvidence::Ahead,
        decision: Decision::LostCommit,
        cause: "a damaged last record, or an older manifest put in place of the newest",
    },
    Row {
        label: "the manifest has another history",
        holds: |e| e.mark == MarkEvidence::Other,
        decision: Decision::OtherCommit,
        cause: "files of two copies of one database mixed",
    },
    Row {
        label: "the data file ends too early",
        holds: |e| !e.reaches,
        decision: Decision::DataCutShort,
        cause: "somebody cut it, or put an older one in its place: images were synced before the \
                record that names them",
    },
    Row {
        label: "the newest commit was durable",
        holds: |e| e.mark == MarkEvidence::Same && e.manifest == ManifestEvidence::Clean,
        decision: Decision::Open { proven: true },
        cause: "a clean close, or a crash after the next checkpoint's images were synced",
    },
    Row {
        label: "the newest commit was durable, the next was torn",
        holds: |e| e.mark == MarkEvidence::Same,
        decision: Decision::Open { proven: true },
        cause: "a crash while the next record was written: it was never acknowledged",
    },
    Row {
        label: "a torn record behind the newest commit",
        holds: |e| e.manifest == ManifestEvidence::Torn,
        decision: Decision::Open { proven: false },
        cause: "as above, when the mark of the newest commit had not reached the medium",
    },
    Row {
        label: "a newest commit that nothing proves",
        holds: |_| true,
        decision: Decision::Open { proven: false },
        cause: "a crash or a kill after a record was written, synced or not",
    },
];

/// The first row that holds.
pub(crate) fn decide(evidence: &Evidence) -> &'static Row {
    let row = ROWS.iter().find(|row| (row.holds)(evidence));
    row.expect("the last row always holds")
}
