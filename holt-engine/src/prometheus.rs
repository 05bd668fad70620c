//! Statistics as text that Prometheus reads.
//!
//! - The text format of version 0.0.4: one `# HELP` and one `# TYPE` line a metric, then its sample.
//! - Every field of [`Stats`] is in it; the compiler holds [`Stats::prometheus`] to that.
//! - A figure that there is none of, such as the address of a checkpoint before the first, has no
//!   sample.

use std::fmt::{Display, Write};

use crate::stats::{CacheStats, CheckpointStats, FeedStats, SnapshotStats, Stats};

/// The kind of a metric.
#[derive(Clone, Copy)]
enum Kind {
    /// May rise and fall.
    Gauge,
    /// Only rises while the database is open.
    Counter,
}

/// The text so far.
struct Text {
    out: String,
    /// The value of the label of every sample, escaped.
    database: String,
}

impl Text {
    fn metric(&mut self, kind: Kind, name: &str, help: &str, value: impl Display) {
        self.sample(kind, name, help, "", value);
    }

    /// A metric with more labels than the database's; `labels` begins with a comma.
    fn sample(&mut self, kind: Kind, name: &str, help: &str, labels: &str, value: impl Display) {
        let kind = match kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
        };
        let database = &self.database;
        // Memory gives no error.
        let _ = write!(
            self.out,
            "# HELP holt_{name} {help}\n# TYPE holt_{name} {kind}\n\
             holt_{name}{{database=\"{database}\"{labels}}} {value}\n"
        );
    }

    /// Whether something has failed, and why.
    fn failure(&mut self, name: &str, help: &str, why: Option<&String>) {
        self.metric(Kind::Gauge, name, help, u8::from(why.is_some()));
        if let Some(why) = why {
            let labels = format!(",why=\"{}\"", escaped(why));
            self.sample(Kind::Gauge, &format!("{name}_info"), "Why that is so.", &labels, 1);
        }
    }
}

/// The value of a label.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

impl Stats {
    /// These figures in the text format that Prometheus reads, for an endpoint or for a file that
    /// its node exporter collects. Each has the label `database` with the value given, so that
    /// those of several databases of one process can stand one after the other.
    ///
    /// Bytes and seconds are in the names, counters end in `_total`; those of checkpoints begin at zero
    /// when the database is opened. Why something failed is the label `why` of a metric that ends in
    /// `_info`.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), holt_engine::Error> {
    /// let db = holt_engine::Db::in_memory()?;
    /// db.default_tree().put(b"key", b"value")?;
    /// let text = db.stats()?.prometheus("sessions");
    /// assert!(text.contains("\nholt_keys{database=\"sessions\"} 1\n"));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn prometheus(&self, database: &str) -> String {
        use Kind::{Counter, Gauge};
        // No `..`: a field that is added has to be told.
        let Stats {
            trees,
            keys,
            frames,
            fill,
            cache,
            reclaiming,
            memory_bytes,
            store_bytes,
            live_bytes,
            log_bytes,
            log_segments,
            log_address,
            checkpoint_address,
            checkpoint_failure,
            checkpoints,
            snapshots,
            feeds,
            log_failure,
        } = self;
        let mut text = Text { out: String::new(), database: escaped(database) };
        text.metric(Gauge, "trees", "Trees.", trees);
        if let Some(keys) = keys {
            text.metric(Gauge, "keys", "Keys in all trees.", keys);
        }
        text.metric(Gauge, "frames", "Frames that the trees take.", frames);
        text.metric(Gauge, "fill_ratio", "How full the frames in memory are.", fill);
        let CacheStats { absent, absent_values, changed, reads, evictions } = cache;
        text.metric(Gauge, "absent_frames", "Frames that are on disk only.", absent);
        let help = "Large values that are on disk only.";
        text.metric(Gauge, "absent_values", help, absent_values);
        let help = "Frames that have changed since the last checkpoint.";
        text.metric(Gauge, "changed_frames", help, changed);
        text.metric(Counter, "frame_reads_total", "Frames that were read from disk.", reads);
        text.metric(Counter, "evictions_total", "Frames that left memory.", evictions);
        let help = "Whether memory of removed prefixes and trees is still to be given back.";
        text.metric(Gauge, "reclaiming", help, u8::from(*reclaiming));
        let help = "Memory that frames and large values take.";
        text.metric(Gauge, "memory_bytes", help, memory_bytes);
        let help = "Disk that the frame file and the manifest take.";
        text.metric(Gauge, "store_bytes", help, store_bytes);
        let help = "The part of it that the last checkpoint takes.";
        text.metric(Gauge, "live_bytes", help, live_bytes);
        let help = "Disk that the segments of the log take.";
        text.metric(Gauge, "log_bytes", help, log_bytes);
        let help = "Segments that the log is in.";
        text.metric(Gauge, "log_segments", help, log_segments.segments);
        let help = "Segment files that are kept to be used again.";
        text.metric(Gauge, "log_spare_segments", help, log_segments.spares);
        let help = "Segments made since the log was opened.";
        text.metric(Counter, "log_segments_made_total", help, log_segments.made);
        let help = "Those of them that were made out of a spare file.";
        text.metric(Counter, "log_segments_recycled_total", help, log_segments.recycled);
        let help = "Address at which the log ends.";
        text.metric(Counter, "log_address_bytes_total", help, log_address);
        if let Some(address) = checkpoint_address {
            let help = "Address of the log up to which the last checkpoint holds everything.";
            text.metric(Gauge, "checkpoint_address_bytes", help, address);
        }
        let help = "Whether the last checkpoint failed.";
        text.failure("checkpoint_failed", help, checkpoint_failure.as_ref());
        let help = "Whether the log's failure has closed the database for writing.";
        text.failure("log_failed", help, log_failure.as_ref());
        checkpoints.tell(&mut text);
        snapshots.tell(&mut text);
        feeds.tell(&mut text);
        text.out
    }
}

impl CheckpointStats {
    fn tell(&self, text: &mut Text) {
        use Kind::{Counter, Gauge};
        let CheckpointStats {
            running,
            made,
            images,
            bytes,
            last_pause,
            longest_pause,
            failures,
            failures_in_a_row,
            // The database's own field has the same text.
            failure: _,
        } = self;
        let help = "Whether a checkpoint is being made.";
        text.metric(Gauge, "checkpoint_running", help, u8::from(*running));
        text.metric(Counter, "checkpoints_total", "Checkpoints made.", made);
        let help = "Frames and values that checkpoints wrote.";
        text.metric(Counter, "checkpoint_images_total", help, images);
        let help = "Bytes that checkpoints wrote to the frame file.";
        text.metric(Counter, "checkpoint_bytes_total", help, bytes);
        let help = "For how long the last checkpoint kept writers out.";
        text.metric(Gauge, "checkpoint_last_pause_seconds", help, last_pause.as_secs_f64());
        let help = "The longest time for which a checkpoint kept writers out.";
        text.metric(Gauge, "checkpoint_longest_pause_seconds", help, longest_pause.as_secs_f64());
        let help = "Checkpoints that failed.";
        text.metric(Counter, "checkpoint_failures_total", help, failures);
        let help = "Checkpoints that failed since one succeeded.";
        text.metric(Gauge, "checkpoint_failures_in_a_row", help, failures_in_a_row);
    }
}

impl SnapshotStats {
    fn tell(&self, text: &mut Text) {
        use Kind::Gauge;
        let SnapshotStats { open, oldest, kept_frames, kept_values } = self;
        text.metric(Gauge, "snapshots_open", "Snapshots that are open.", open);
        if let Some(version) = oldest {
            let help = "Version of the oldest snapshot that is open.";
            text.metric(Gauge, "snapshots_oldest_version", help, version.get());
        }
        let help = "Frames that have changed and are kept as they were.";
        text.metric(Gauge, "kept_frames", help, kept_frames);
        let help = "Large values that are gone and are kept for readers of the past.";
        text.metric(Gauge, "kept_values", help, kept_values);
    }
}

impl FeedStats {
    fn tell(&self, text: &mut Text) {
        use Kind::{Counter, Gauge};
        let FeedStats { open, held_bytes, cut_off } = self;
        text.metric(Gauge, "feeds_open", "Change feeds that are open.", open);
        let help = "Log that stays on disk for the slowest feed.";
        text.metric(Gauge, "feeds_held_bytes", help, held_bytes);
        let help = "Change feeds that lagged too far behind and were cut off.";
        text.metric(Counter, "feeds_cut_off_total", help, cut_off);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use holt_journal::SegmentStats;

    use super::*;
    use crate::Version;

    /// A sample as it is read back: its labels and its value.
    #[derive(Debug, PartialEq)]
    struct Sample {
        kind: String,
        labels: BTreeMap<String, String>,
        value: f64,
    }

    /// Reads the format by its own rules: help and type before the one sample of a name.
    fn parse(text: &str) -> BTreeMap<String, Sample> {
        let mut found = BTreeMap::new();
        let (mut helped, mut kind) = (String::new(), (String::new(), String::new()));
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap();
                assert!(!help.is_empty(), "{line}");
                name.clone_into(&mut helped);
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, word) = rest.split_once(' ').unwrap();
                assert_eq!(name, helped);
                assert!(["gauge", "counter"].contains(&word), "{line}");
                kind = (name.to_owned(), word.to_owned());
            } else {
                let (head, value) = line.rsplit_once(' ').unwrap();
                let (name, labels) = head.strip_suffix('}').unwrap().split_once('{').unwrap();
                assert_eq!(name, kind.0);
                let legal = |c: char| c.is_ascii_lowercase() || c == '_';
                assert!(name.starts_with("holt_") && name.chars().all(legal), "{name}");
                assert_eq!(name.ends_with("_total"), kind.1 == "counter", "{name}");
                let sample = Sample {
                    kind: kind.1.clone(),
                    labels: parse_labels(labels),
                    value: value.parse().unwrap(),
                };
                assert!(found.insert(name.to_owned(), sample).is_none(), "{name} comes twice");
            }
        }
        found
    }

    fn parse_labels(mut text: &str) -> BTreeMap<String, String> {
        let mut labels = BTreeMap::new();
        while !text.is_empty() {
            let (name, rest) = text.split_once("=\"").unwrap();
            let mut value = String::new();
            let mut characters = rest.char_indices();
            let end = loop {
                match characters.next().unwrap() {
                    (at, '"') => break at,
                    (_, '\\') => value.push(match characters.next().unwrap().1 {
                        'n' => '\n',
                        other => other,
                    }),
                    (_, other) => value.push(other),
                }
            };
            labels.insert(name.to_owned(), value);
            let rest = &rest[end + 1..];
            text = rest.strip_prefix(',').unwrap_or(rest);
        }
        labels
    }

    fn stats() -> Stats {
        let mut log_segments = SegmentStats::default();
        (log_segments.segments, log_segments.spares) = (25, 26);
        (log_segments.made, log_segments.recycled) = (27, 28);
        Stats {
            trees: 1,
            keys: Some(2),
            frames: 3,
            fill: 0.5,
            cache: CacheStats {
                absent: 21,
                absent_values: 29,
                changed: 22,
                reads: 23,
                evictions: 24,
            },
            reclaiming: true,
            memory_bytes: 4,
            store_bytes: 5,
            live_bytes: 6,
            log_bytes: 7,
            log_segments,
            log_address: u64::MAX,
            checkpoint_address: Some(8),
            checkpoint_failure: Some("no \"space\"\n\\ left".to_owned()),
            checkpoints: CheckpointStats {
                running: true,
                made: 9,
                images: 10,
                bytes: 11,
                last_pause: Duration::from_millis(1500),
                longest_pause: Duration::from_secs(2),
                failures: 12,
                failures_in_a_row: 13,
                failure: Some("no \"space\"\n\\ left".to_owned()),
            },
            snapshots: SnapshotStats {
                open: 14,
                oldest: Version::new(15),
                kept_frames: 16,
                kept_values: 17,
            },
            feeds: FeedStats { open: 18, held_bytes: 19, cut_off: 20 },
            log_failure: None,
        }
    }

    #[test]
    fn every_figure_is_read_back_with_its_value() {
        let found = parse(&stats().prometheus("a \"b\"\\"));
        let values: Vec<_> =
            found.iter().map(|(name, sample)| (name.as_str(), sample.value)).collect();
        #[expect(clippy::cast_precision_loss, reason = "the value is a float on the way back")]
        let most = u64::MAX as f64;
        let expected = [
            ("holt_absent_frames", 21.0),
            ("holt_absent_values", 29.0),
            ("holt_changed_frames", 22.0),
            ("holt_checkpoint_address_bytes", 8.0),
            ("holt_checkpoint_bytes_total", 11.0),
            ("holt_checkpoint_failed", 1.0),
            ("holt_checkpoint_failed_info", 1.0),
            ("holt_checkpoint_failures_in_a_row", 13.0),
            ("holt_checkpoint_failures_total", 12.0),
            ("holt_checkpoint_images_total", 10.0),
            ("holt_checkpoint_last_pause_seconds", 1.5),
            ("holt_checkpoint_longest_pause_seconds", 2.0),
            ("holt_checkpoint_running", 1.0),
            ("holt_checkpoints_total", 9.0),
            ("holt_evictions_total", 24.0),
            ("holt_feeds_cut_off_total", 20.0),
            ("holt_feeds_held_bytes", 19.0),
            ("holt_feeds_open", 18.0),
            ("holt_fill_ratio", 0.5),
            ("holt_frame_reads_total", 23.0),
            ("holt_frames", 3.0),
            ("holt_kept_frames", 16.0),
            ("holt_kept_values", 17.0),
            ("holt_keys", 2.0),
            ("holt_live_bytes", 6.0),
            ("holt_log_address_bytes_total", most),
            ("holt_log_bytes", 7.0),
            ("holt_log_failed", 0.0),
            ("holt_log_segments", 25.0),
            ("holt_log_segments_made_total", 27.0),
            ("holt_log_segments_recycled_total", 28.0),
            ("holt_log_spare_segments", 26.0),
            ("holt_memory_bytes", 4.0),
            ("holt_reclaiming", 1.0),
            ("holt_snapshots_oldest_version", 15.0),
            ("holt_snapshots_open", 14.0),
            ("holt_store_bytes", 5.0),
            ("holt_trees", 1.0),
        ];
        assert_eq!(values, expected);
        assert!(found.values().all(|sample| sample.labels["database"] == "a \"b\"\\"));
        assert_eq!(found["holt_checkpoint_failed_info"].labels["why"], "no \"space\"\n\\ left");
        assert_eq!(found["holt_checkpoint_failed_info"].labels.len(), 2);
    }

    #[test]
    fn a_figure_that_there_is_none_of_has_no_sample() {
        let stats = Stats { checkpoint_address: None, checkpoint_failure: None, ..stats() };
        let found = parse(&stats.prometheus(""));
        assert!(!found.contains_key("holt_checkpoint_address_bytes"));
        assert!(!found.contains_key("holt_checkpoint_failed_info"));
        assert_eq!(found["holt_checkpoint_failed"].value, 0.0);
    }
}
