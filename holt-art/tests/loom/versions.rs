//! Numbers from shares, given to records that threads take turns at.

use loom::sync::{Arc, Mutex};
use loom::thread;

use crate::numbers::Versions;
use crate::support::model;

#[test]
fn versions_are_unique_and_grow_with_their_record() {
    model("versions_are_unique_and_grow_with_their_record", Some(3), || {
        let versions = Arc::new(Versions::new());
        // The mutex is the latch of its frame.
        let record = Arc::new(Mutex::new(0));
        let change = |versions: &Versions, record: &Mutex<u64>| {
            let mut record = record.lock().unwrap();
            let number = versions.next(*record);
            assert!(number > *record, "{number} replaces {}", *record);
            *record = number;
            number
        };
        let other = {
            let (versions, record) = (Arc::clone(&versions), Arc::clone(&record));
            thread::spawn(move || {
                let own = versions.next(0);
                [own, change(&versions, &record), versions.next(0)]
            })
        };
        let mut given = vec![versions.next(0), change(&versions, &record), versions.newest()];
        given.push(change(&versions, &record));
        given.extend(other.join().unwrap());
        let all = given.len();
        given.sort_unstable();
        given.dedup();
        assert_eq!(given.len(), all, "a number was given twice");
    });
}
