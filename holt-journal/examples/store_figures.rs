//! Times the store on a real directory: load, small checkpoints, reading back, reopening.
//!
//! `cargo run --release -p holt-journal --example store_figures -- <directory> [objects]`
//!
//! The directory has to be empty. Beside each figure that waits for the device stands what the
//! plain calls cost: the same bytes written to a file and synced.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use holt_journal::disk::{Access, Disk, DiskFile, RealDisk};
use holt_journal::store::{ImageSource, ObjectId, SourceError, Store};

/// Bytes of an image: a frame of 64 KiB filled by four fifths.
const IMAGE: usize = 52_000;

/// Small checkpoints that are timed; the median is shown.
const ROUNDS: u64 = 30;

struct Frames(std::ops::Range<u64>);

impl ImageSource for Frames {
    fn dirty(&mut self) -> Vec<ObjectId> {
        self.0.clone().map(ObjectId).collect()
    }

    fn freed(&mut self) -> Vec<ObjectId> {
        Vec::new()
    }

    fn image(&mut self, object: ObjectId, out: &mut Vec<u8>) -> Result<(), SourceError> {
        out.resize(IMAGE, object.0 as u8);
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().ok_or("name an empty directory")?;
    let objects: u64 = arguments.next().map_or(Ok(4000), |n| n.parse())?;
    let disk = Arc::new(RealDisk::open(&directory)?);
    let store = Store::create(disk.clone(), 4096)?;
    let megabytes = (objects * IMAGE as u64) as f64 / 1e6;

    let raw = {
        let file = disk.create("raw")?;
        let piece = vec![1; 1 << 20];
        let start = Instant::now();
        for at in (0..objects * IMAGE as u64).step_by(piece.len()) {
            file.write_bytes_at(&piece, at)?;
        }
        file.sync_data()?;
        let time = start.elapsed();
        drop(file);
        disk.remove("raw")?;
        time
    };
    let start = Instant::now();
    store.checkpoint(5000, b"", &mut Frames(0..objects), &mut || Ok(()))?;
    let load = start.elapsed();
    println!(
        "load {objects} images: {:.0} MB/s, plain {:.0} MB/s",
        megabytes / load.as_secs_f64(),
        megabytes / raw.as_secs_f64()
    );

    for dirty in [0, 1, 16] {
        let commits = median(|round| {
            let first = round * 37 % (objects - dirty);
            let frames = &mut Frames(first..first + dirty);
            store.checkpoint(6000 + dirty * 1000 + round, b"", frames, &mut || Ok(()))?;
            Ok(())
        })?;
        let plain = median(|round| {
            let file = match disk.open("raw", Access::ReadWrite) {
                Ok(file) => file,
                Err(_) => disk.create("raw")?,
            };
            if dirty > 0 {
                file.write_bytes_at(&vec![round as u8; dirty as usize * IMAGE], round << 20)?;
                file.sync_data()?;
            }
            file.write_bytes_at(&[round as u8; 88], 1 << 30)?;
            file.sync_data()?;
            Ok(())
        })?;
        println!("checkpoint of {dirty} images: {commits:?}, plain {plain:?}");
    }
    disk.remove("raw")?;

    let mut image = Vec::new();
    let start = Instant::now();
    for (object, _) in store.objects() {
        store.read(object, &mut image)?;
    }
    let each = start.elapsed() / objects as u32;
    println!("read an image (cached by the system): {each:?}");
    store.close()?;
    drop(store);
    let start = Instant::now();
    let store = Store::open(disk, Access::ReadWrite)?;
    println!("open: {:?} for {objects} objects", start.elapsed());
    println!("{:?}", store.stats());
    Ok(())
}

/// The middle one of several times.
fn median(
    mut run: impl FnMut(u64) -> Result<(), Box<dyn Error>>,
) -> Result<Duration, Box<dyn Error>> {
    let mut times = Vec::new();
    for round in 0..ROUNDS {
        let start = Instant::now();
        run(round)?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    Ok(times[times.len() / 2])
}
