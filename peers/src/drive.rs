//! A whole run: plans it, starts a process for every engine and workload in turn, compares their
//! answers, and has the report written.
//!
//! - Rounds are the outermost loop and engines the innermost, each round beginning with another
//!   engine: whatever else happens on the machine meets all engines alike.
//! - Two engines that answer one stream differently end the run: a benchmark of wrong answers is
//!   worthless.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Failure;
use crate::cell::{Check, Outcome};
use crate::engine::{Kind, Mode};
use crate::engines;
use crate::machine::Machine;
use crate::options::{Cell, Options};
use crate::report::record::{CellRecord, Record, Settings};
use crate::report::{self, versions};

/// Runs what the options ask for.
pub(crate) fn bench(options: &Options) -> Result<(), Failure> {
    if options.describe {
        return report::describe::write(&options.out.clone().unwrap_or("docs/bench".into()));
    }
    if options.render {
        let out = options.out_dir();
        for stem in ["quick", "record"] {
            let kept = out.join(format!("{stem}.json"));
            if kept.exists() {
                report::write(&Record::read(&kept)?, &out, stem)?;
            }
        }
        return Ok(());
    }
    let kinds = chosen(options)?;
    for line in &options.left_out {
        eprintln!("bench: left out {line}");
    }
    let out = options.out_dir();
    let stem = if options.is_quick() { "quick" } else { "record" };
    // Read before the run, so that a report that cannot be added to is known at once.
    let earlier = match options.merge {
        true => Some(Record::read(&out.join(format!("{stem}.json")))?),
        false => None,
    };
    let plan = options.plan();
    if options.check {
        return check(options, &kinds, &plan);
    }
    let mut record = run(options, &kinds, &plan)?;
    if let Some(earlier) = earlier {
        record.add_to(earlier);
    }
    report::write(&record, &out, stem)?;
    print!("{}", report::table::headline(&record));
    println!("\nthe whole report: {}", out.join(format!("{stem}.md")).display());
    Ok(())
}

/// Runs the plan, compares its ratios with the recorded ones, and runs the cells of those that look
/// worse again.
///
/// A run has close to a hundred ratios, and the noise of five rounds is an estimate: a few of them
/// are beyond it in any run of an unchanged program. What has really become worse is worse each time.
fn check(options: &Options, kinds: &[Kind], plan: &[Cell]) -> Result<(), Failure> {
    /// How often a ratio has to be worse.
    const RUNS: usize = 3;
    let recorded = report::check::recorded(&PathBuf::from("docs/bench/quick.json"))?;
    let mut findings = report::check::Findings::of(&run(options, kinds, plan)?, &recorded)?;
    for again in 1..RUNS {
        let suspects: Vec<Cell> =
            plan.iter().filter(|cell| findings.name(&CellRecord::new(cell))).cloned().collect();
        if suspects.is_empty() {
            break;
        }
        eprintln!(
            "bench: {findings}; {} of {} workloads once more, run {} of {RUNS}",
            suspects.len(),
            plan.len(),
            again + 1,
        );
        findings.confirm(&run(options, kinds, &suspects)?, &recorded);
    }
    findings.judge()
}

/// The engines of the run.
fn chosen(options: &Options) -> Result<Vec<Kind>, Failure> {
    let all = engines::all();
    if options.engines.is_empty() {
        return Ok(all);
    }
    options
        .engines
        .iter()
        .map(|name| {
            all.iter().find(|kind| kind.name == name).copied().ok_or_else(|| {
                let names: Vec<&str> = all.iter().map(|kind| kind.name).collect();
                format!("no engine `{name}` was built; there are {}", names.join(", ")).into()
            })
        })
        .collect()
}

/// Runs all rounds of a plan and returns what they found.
fn run(options: &Options, kinds: &[Kind], plan: &[Cell]) -> Result<Record, Failure> {
    if plan.is_empty() {
        return Err("these options leave nothing to measure".into());
    }
    std::fs::create_dir_all(&options.dir)?;
    let mut record = Record {
        machine: Machine::here(&options.dir),
        versions: kinds.iter().map(|kind| (kind.name.to_owned(), versions::of(kind))).collect(),
        settings: Settings {
            rounds: options.rounds,
            budget_ms: options.budget_ms(),
            cache_mib: options.cache,
            seed: options.seed,
        },
        left_out: options.left_out.clone(),
        raw: Vec::new(),
        cells: plan.iter().map(CellRecord::new).collect(),
    };
    let started = Instant::now();
    let mut answers: BTreeMap<(usize, String), (String, u64)> = BTreeMap::new();
    for round in 0..options.rounds {
        let raw = raw(options)?;
        record.add_raw(&raw);
        for (number, cell) in plan.iter().enumerate() {
            eprintln!(
                "bench: round {}/{}, {} {} {} {}, {} s so far",
                round + 1,
                options.rounds,
                cell.workload.name(),
                cell.shape.name(),
                cell.size,
                cell.mode.name(),
                started.elapsed().as_secs(),
            );
            for turn in 0..kinds.len() {
                let kind = &kinds[(turn + round) % kinds.len()];
                let place = &mut record.cells[number];
                if place.is_done_with(kind.name) {
                    continue;
                }
                if !kind.modes.contains(&cell.mode) {
                    // An index in memory is not missed where there is a log; a store is.
                    if kind.modes.len() > 1 {
                        let mode = cell.mode.name();
                        place.fail(kind.name, &format!("has no mode {mode}, see ENGINES.md"));
                    }
                    continue;
                }
                let begun = Instant::now();
                match one(options, kind, cell) {
                    Ok(outcome) => {
                        compare(&mut answers, number, cell, kind.name, &outcome.checks)?;
                        place.add(kind.name, &outcome);
                        let took = begun.elapsed().as_secs();
                        if round == 0 && kind.name != engines::OURS && took > options.patience {
                            place.end(kind.name, took);
                        }
                    }
                    Err(error) => {
                        eprintln!("bench: {} failed: {error}", kind.name);
                        place.fail(kind.name, &format!("failed: {error}"));
                    }
                }
            }
        }
    }
    record.machine.finished = Machine::here(&options.dir).finished;
    Ok(record)
}

/// Compares an engine's answers with those that were given first.
fn compare(
    answers: &mut BTreeMap<(usize, String), (String, u64)>,
    number: usize,
    cell: &Cell,
    engine: &str,
    checks: &[Check],
) -> Result<(), Failure> {
    for check in checks {
        let (first, hash) = answers
            .entry((number, check.op.clone()))
            .or_insert_with(|| (engine.to_owned(), check.hash));
        if *hash != check.hash {
            return Err(format!(
                "{engine} and {first} answer the stream of `{}` ({} {} {} {}) differently: \
                 {:016x} and {hash:016x}",
                check.op,
                cell.workload.name(),
                cell.shape.name(),
                cell.size,
                cell.mode.name(),
                check.hash,
            )
            .into());
        }
    }
    Ok(())
}

/// Measures the limits of the machine in a process of its own.
fn raw(options: &Options) -> Result<Outcome, Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("raw").arg("--dir").arg(&options.dir);
    command.args(["--budget", &options.budget_ms().to_string()]);
    collect(command, options.timeout)
}

/// Runs one engine at one cell in a process of its own.
fn one(options: &Options, kind: &Kind, cell: &Cell) -> Result<Outcome, Failure> {
    let base = match cell.mode {
        Mode::Memory => &options.memory_dir,
        _ => &options.dir,
    };
    let dir = base.join(format!("holt-bench-{}", std::process::id()));
    clear(&dir)?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("cell").args(["--engine", kind.name]);
    command.args(["--workload", cell.workload.name(), "--shape", cell.shape.name()]);
    command.args(["--size", &cell.size.to_string(), "--mode", cell.mode.name()]);
    command.arg("--dir").arg(&dir);
    if let Some(real) = &options.real {
        command.arg("--real").arg(real);
    }
    command.args(["--budget", &options.budget_ms().to_string()]);
    command.args(["--seed", &options.seed.to_string()]);
    command.args(["--cache", &options.cache.to_string()]);
    let outcome = collect(command, options.timeout);
    clear(&dir)?;
    outcome
}

/// Removes a directory if it is there.
fn clear(dir: &Path) -> Result<(), Failure> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// Runs a process to its end and reads the outcome that it prints.
fn collect(mut command: Command, timeout: u64) -> Result<Outcome, Failure> {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let output = reader(child.stdout.take());
    let errors = reader(child.stderr.take());
    let in_time = wait(&mut child, Duration::from_secs(timeout))?;
    let output = output.join().map_err(|_| "the reader of a process panicked")?;
    let errors = errors.join().map_err(|_| "the reader of a process panicked")?;
    let status = child.wait()?;
    if !in_time {
        return Err(format!("not done after {timeout} s").into());
    }
    if !status.success() {
        let last = errors.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("");
        let last = last.strip_prefix("bench: ").unwrap_or(last);
        return Err(format!("{status}: {last}").into());
    }
    let line = output.lines().last().ok_or("the process printed nothing")?;
    Ok(serde_json::from_str(line)?)
}

/// Reads a pipe of a process to its end on a thread of its own.
fn reader(pipe: Option<impl std::io::Read + Send + 'static>) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What was read before an error is still worth showing.
            let _ = pipe.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Waits for a process and kills it when its time is over. Whether it ended by itself.
fn wait(child: &mut Child, limit: Duration) -> Result<bool, Failure> {
    let started = Instant::now();
    loop {
        if child.try_wait()?.is_some() {
            return Ok(true);
        }
        if started.elapsed() > limit {
            child.kill()?;
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
