//! Fill of the frames of sets that shrink.

use holt_art::Art;

use crate::shapes::{Random, empty_map, keys};

/// What is left, in records of a thousand, where the fill is told.
const LEFT: [usize; 6] = [500, 200, 100, 50, 20, 10];
/// Frames from which on the lowest fill is looked for.
const FEW: [u64; 3] = [3, 4, 6];

/// Prints the fill of a shape that was put at random, and of which keys go at random, from the
/// first on, or from the last on; and the lowest fill that there has been on the way.
pub(crate) fn run(shape: &str, count: usize) {
    for order in ["at random", "in order", "in reverse"] {
        let (mut all, length) = keys(shape, count);
        all.sort();
        all.dedup();
        let mut random = Random(42);
        let map = empty_map();
        let mut loaded = all.clone();
        random.shuffle(&mut loaded);
        for key in &loaded {
            map.put(key, &vec![0x5A; length]).expect("memory");
        }
        match order {
            "at random" => random.shuffle(&mut all),
            "in reverse" => all.reverse(),
            _ => {}
        }
        shrink(&map, &all, &format!("{shape:<8} {count:>6} {order}"));
    }
}

fn shrink(map: &Art, all: &[Vec<u8>], label: &str) {
    let stats = || map.tree().pool().stats();
    let told = |label: &str| {
        let stats = stats();
        format!(" {label} {:.3} ({})", stats.fill(), stats.frames)
    };
    let mut line = told("all");
    let mut lowest = [1.0_f64; FEW.len()];
    for (gone, key) in all.iter().enumerate() {
        map.remove(key).expect("memory");
        let left = all.len() - gone - 1;
        let told_at = LEFT.iter().find(|&&share| all.len() * share / 1000 == left);
        if let Some(share) = told_at {
            line += &told(&format!("{}%", *share as f64 / 10.0));
        }
        if left.is_multiple_of(all.len().div_ceil(400)) {
            let stats = stats();
            for (lowest, _) in lowest.iter_mut().zip(FEW).filter(|(_, few)| stats.frames >= *few) {
                *lowest = lowest.min(stats.fill());
            }
        }
    }
    let lowest: Vec<_> = FEW.iter().zip(lowest).map(|(few, l)| format!(" {few}: {l:.3}")).collect();
    println!("{label:<26}{line}, lowest from frames{}", lowest.concat());
    assert_eq!(map.verify(), []);
    assert!(map.is_empty());
}
