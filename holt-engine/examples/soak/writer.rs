//! The process that is killed: several threads that write, at all levels, while checkpoints are made.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;

use holt_engine::{Db, Error, Options};

use crate::story::{Report, THREADS, step};

/// Opens the database in `path` and writes as run `run`, `limit` writes a thread.
pub(crate) fn run(path: &str, seed: &str, run: &str, limit: &str) -> Result<(), String> {
    let number = |text: &str| text.parse::<u64>().map_err(|_| format!("{text} is no number"));
    let (seed, run, limit) = (number(seed)?, number(run)? as u32, number(limit)?);
    // The pipe itself: nothing that was acknowledged waits in a buffer of this process.
    let pipe = std::io::stdout().as_fd().try_clone_to_owned().map_err(|error| error.to_string())?;
    write(path, seed, run, limit.min(u64::from(u32::MAX)) as u32, &File::from(pipe))
        .map_err(|error| format!("run {run}: {error}"))
}

fn write(path: &str, seed: u64, run: u32, limit: u32, pipe: &File) -> Result<(), Error> {
    let mut options = Options::new();
    // Small segments and frequent checkpoints, so that a kill meets every phase of both.
    options.segment_bytes(256 << 10).checkpoint_bytes(1 << 20);
    let db = options.open(path)?;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let db = &db;
                scope.spawn(move || session(db, seed, run, thread, limit, pipe))
            })
            .collect();
        for thread in threads {
            thread.join().expect("a writer does not panic")?;
        }
        Ok::<(), Error>(())
    })?;
    db.close()
}

fn session(
    db: &Db,
    seed: u64,
    run: u32,
    thread: u8,
    limit: u32,
    mut pipe: &File,
) -> Result<(), Error> {
    let tree = db.default_tree();
    for number in 0..limit {
        let step = step(seed, run, thread, number);
        let version = match &step.value {
            Some(value) => tree.put_with(&step.key, value, step.durability)?.get(),
            None => {
                tree.delete_with(&step.key, step.durability)?;
                0
            }
        };
        if pipe.write_all(&Report { thread, number, version }.encode()).is_err() {
            // Nobody listens any more.
            std::process::exit(1);
        }
        if thread == THREADS - 1 && number % 997 == 996 {
            db.checkpoint()?;
        }
    }
    Ok(())
}
