//! Opening what a killed process left: `cargo run --release -p holt-engine --example reopen_killed -- <keys>`.
//!
//! A child puts keys, each handed to the system before it is acknowledged, and dies. Then opening is timed until the first get is
//! answered, and the rest of opening, and the first put. Three times, each with a database of its own.

use std::time::Instant;

use holt_engine::{Durability, Options};

fn key(number: u64) -> Vec<u8> {
    let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    format!("bucket-{:02}/{:03}/object-{mixed:016x}.bin", number % 16, number / 16 % 256)
        .into_bytes()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let keys: u64 = arguments.next().map_or(Ok(20_000), |text| text.parse())?;
    let mut options = Options::new();
    options.durability(Durability::Os);
    if let Some(directory) = arguments.next() {
        let db = options.open(directory)?;
        let tree = db.default_tree();
        for number in 0..keys {
            tree.put(&key(number), &[1; 48])?;
        }
        std::process::abort();
    }
    for round in 0..3 {
        let name = format!("holt-reopen-{}-{round}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        let mut child = std::process::Command::new(std::env::current_exe()?);
        let status = child.arg(keys.to_string()).arg(&directory).status()?;
        assert!(!status.success(), "the child died");
        let begun = Instant::now();
        let db = options.open(&directory)?;
        let opened = begun.elapsed();
        assert!(db.default_tree().get(&key(0))?.is_some());
        let got = begun.elapsed();
        db.default_tree().put(b"first", b"put")?;
        let put = begun.elapsed() - got;
        db.close()?;
        println!(
            "opened in {opened:?}, first get answered after {got:?}, the first put took {put:?}"
        );
        std::fs::remove_dir_all(&directory)?;
    }
    Ok(())
}
