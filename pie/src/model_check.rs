//! The model check: the shipped code of stamps, flights, chain and Redis protocol, run by a scheduler of our own over a
//! Redis in memory that loses, delays and forgets.
//!
//! Two engines share one row. Each schedule draws a few readers, writers and setters, and then draws what happens next,
//! again and again: a task takes a step (the code has `pause!()` where another thread could come in between), the server
//! executes a command or loses it, a message arrives, a key is evicted, the server restarts from an old snapshot. Every
//! read that begins after a write has to see it:
//!
//! - G1: after the write returned, in the writer's engine;
//! - G2: after its invalidation was acknowledged, in any engine, past its memory;
//! - G3: after its message arrived, or the engine subscribed again, in that engine.
//!
//! A replica may become the master while engines still use the old one: those are promised G1 alone until they have left it.
//!
//! The suite has to find each of the mistakes in `mistake.rs`, or it would prove nothing.

mod double;
mod engine;
mod scheduler;

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use fastrand::Rng;

use self::double::{Fate, Shared, World, lock};
use self::engine::{Engine, KILLS, Kill, Way};
use self::scheduler::Scheduler;
use crate::clock::ManualClock;
use crate::mistake::{self, Mistake};
use crate::task::stepped::pause;

/// What a schedule draws besides the order of steps.
#[derive(Debug, Default)]
struct Budget {
    faults: u32,
    evictions: u32,
    restarts: u32,
    drops: u32,
    ticks: u32,
    unsubscriptions: u32,
}

static TOLD: OnceLock<Option<u64>> = OnceLock::new();

/// The schedule that is to be printed.
fn seed_to_tell() -> Option<u64> {
    std::env::var("PIE_MODEL_SEED").ok()?.parse().ok()
}

/// One schedule: the hash of everything that happened, and the violation, if any.
#[allow(clippy::print_stderr, reason = "only where one schedule is asked for")]
fn run(seed: u64) -> (u64, Option<String>) {
    // One schedule again, step by step: `PIE_MODEL_SEED=41 cargo test model_check -- --nocapture`.
    let told = *TOLD.get_or_init(seed_to_tell) == Some(seed);
    let mut rng = Rng::with_seed(seed);
    let mut trace = Trace(0xcbf2_9ce4_8422_2325);
    let shards = if rng.u32(..5) == 0 { 2 } else { 1 };
    let world: Shared = Arc::new(Mutex::new(World::new(shards)));
    let clock = ManualClock::new();
    let mut scheduler = Scheduler::new();
    let gathers = rng.bool();
    // Never, always, or after a read that found its token.
    let streak = [u32::MAX, 0, 1][(seed % 3) as usize];
    let engines = [0, 1].map(|id| Engine::new(id, &world, &clock, gathers, streak));
    // Some readers of one engine, whose loads and messages take long, and no trouble: what only a write in the middle of a
    // load shows.
    let calm = rng.u32(..8) == 0;
    // Two masters from the start, and little other trouble; perhaps the writer has found the new one already.
    let split = !calm && rng.u32(..8) == 0;
    let mut budget = Budget {
        faults: rng.u32(..3),
        evictions: rng.u32(..3),
        restarts: u32::from(rng.u32(..3) == 0),
        drops: rng.u32(..3),
        ticks: rng.u32(..3),
        unsubscriptions: rng.u32(..2),
    };
    if calm {
        lock(&world).load_steps = 12;
        budget = Budget { drops: budget.drops, ..Budget::default() };
    }
    if split {
        budget = Budget { evictions: budget.evictions, ..Budget::default() };
    }
    trace.add(u64::from(streak));
    trace.add(shards as u64 + 2 * u64::from(gathers) + 4 * u64::from(calm) + 8 * u64::from(split));
    // A set of tasks, by the low bits of their numbers, and of engines whose messages take long.
    let slow = match calm {
        true => rng.u64(..) & rng.u64(..) & rng.u64(..) | 1 << 33,
        false if rng.bool() => rng.u64(..) & rng.u64(..),
        false => 0,
    };

    // Warm or cold.
    for engine in &engines {
        if !calm && rng.bool() {
            trace.add(1 + engine.id as u64);
            scheduler.spawn(engine.clone().read(Way::Plain, false), false);
            drain(&mut scheduler, &world, &engines);
        }
    }
    lock(&world).save();
    if split {
        lock(&world).promote();
        if rng.bool() {
            trace.add(3);
            lock(&world).leave(0);
            scheduler.spawn(engines[0].clone().reconnect(), false);
            drain(&mut scheduler, &world, &engines);
            lock(&world).unsubscribe(0);
            engines[0].protocol.unsubscribed();
            lock(&world).subscribe(0);
            engines[0].protocol.subscribed();
        }
    }

    // Who takes part.
    let writes = 1 + rng.usize(..2);
    // Each after a while, so that others are in the middle of something.
    let mut draw = |_| (KILLS[rng.usize(..KILLS.len())], rng.usize(..16));
    let kills: Vec<(Kill, usize)> = (0..writes).map(&mut draw).collect();
    for (kill, pauses) in &kills {
        trace.add(100 + *kill as u64 + 10 * *pauses as u64);
        if told {
            eprintln!("writes with {kill:?}, {shards} shards");
        }
    }
    let writer = engines[0].clone();
    scheduler.spawn(
        async move {
            for (kill, pauses) in kills {
                for _ in 0..pauses {
                    pause().await;
                }
                writer.clone().write(kill).await;
            }
        },
        false,
    );
    let mut actors = 2 + rng.usize(..4);
    let mut phase = 0;
    let spawn_some = |scheduler: &mut Scheduler, rng: &mut Rng, trace: &mut Trace| {
        let engine = engines[if calm { 1 } else { rng.usize(..2) }].clone();
        let kind = rng.u32(..if calm { 11 } else { 16 });
        let fails = rng.u32(..8) == 0;
        if told {
            eprintln!("  engine {} {kind} fails {fails}", engine.id);
        }
        trace.add(1_000 + u64::from(kind) * 4 + engine.id as u64 * 2 + u64::from(fails));
        match kind {
            0..8 => scheduler.spawn(engine.read(Way::Plain, fails), true),
            8..11 => scheduler.spawn(engine.read(Way::PastMemory, fails), true),
            11..13 => scheduler.spawn(engine.read(Way::Refresh, fails), true),
            13 => scheduler.spawn(engine.read(Way::Locked, fails), true),
            _ => scheduler.spawn(engine.fence(), true),
        }
    };

    let (mut choices, mut quick) = (Vec::with_capacity(64), Vec::with_capacity(64));
    for _ in 0..3_000 {
        if lock(&world).violation.is_some() {
            break;
        }
        choices.clear();
        choices.extend(scheduler.runnable().map(Choice::Step));
        {
            let world = lock(&world);
            for at in 0..world.ops.len() {
                choices.extend(world.fates(at, false).into_iter().map(|fate| Choice::Fate(at, fate)));
            }
            for engine in 0..2 {
                if !world.connections[engine].queue.is_empty() {
                    choices.push(Choice::Deliver(engine));
                }
            }
        }
        let nothing_goes_on = choices.is_empty();
        // Some are slow, so that much may happen between two of their steps.
        quick.clear();
        quick.extend(choices.iter().copied().filter(|choice: &Choice| !choice.is_slow(slow)));
        if !quick.is_empty() && rng.u32(..16) != 0 {
            std::mem::swap(&mut choices, &mut quick);
        }
        if actors > 0 && (!calm || nothing_goes_on || rng.u32(..6) == 0) {
            choices.push(Choice::Spawn);
        }
        // Trouble is rarer than progress.
        if rng.u32(..4) == 0 || nothing_goes_on {
            trouble(&mut choices, &budget, &world, &mut scheduler);
        }
        let unfinished = scheduler.unfinished();
        let mends = |choice: &Choice| match choice {
            Choice::Reconnect(_) | Choice::Subscribe(_) | Choice::Leave(_) => true,
            Choice::Unsubscribe(_) => budget.unsubscriptions == 0,
            _ => false,
        };
        if nothing_goes_on && unfinished == 0 && choices.iter().all(mends) {
            // Everything has settled: what stays in the layers is read once more, twice.
            phase += 1;
            if phase > 2 {
                break;
            }
            for engine in &engines {
                let way = if phase == 1 { Way::Plain } else { Way::PastMemory };
                scheduler.spawn(engine.clone().read(way, false), false);
            }
            continue;
        }
        if choices.is_empty() {
            lock(&world).violation = Some(format!("{unfinished} tasks wait for ever"));
            break;
        }
        let at = rng.usize(..choices.len());
        let choice = choices.swap_remove(at);
        trace.add(choice.number());
        if told {
            eprintln!("{choice:?} {}", lock(&world).describe(choice));
        }
        match choice {
            Choice::Step(task) => scheduler.step(task),
            Choice::Fate(op, fate) => {
                if !matches!(fate, Fate::Execute(_)) {
                    budget.faults -= 1;
                }
                lock(&world).happen(op, fate);
            }
            Choice::Deliver(engine) => deliver(&engines[engine], &world),
            Choice::Spawn => {
                actors -= 1;
                spawn_some(&mut scheduler, &mut rng, &mut trace);
            }
            Choice::Evict(token) => {
                budget.evictions -= 1;
                let nth = rng.usize(..16);
                trace.add(nth as u64);
                lock(&world).evict(token, nth);
            }
            Choice::Forget(engine) => {
                budget.evictions -= 1;
                engines[engine].memory.map().clear();
            }
            Choice::FlushAll => {
                budget.restarts -= 1;
                lock(&world).flush_all();
            }
            Choice::Save => lock(&world).save(),
            Choice::Restart => {
                budget.restarts -= 1;
                lock(&world).restart();
                engines.iter().for_each(|engine| engine.protocol.unsubscribed());
            }
            Choice::Promote => {
                budget.restarts -= 1;
                lock(&world).promote();
            }
            Choice::Leave(engine) => lock(&world).leave(engine),
            Choice::Drop(task) => {
                budget.drops -= 1;
                scheduler.drop_task(task);
            }
            Choice::Fire(timer) => scheduler.fire(timer),
            Choice::Tick => {
                budget.ticks -= 1;
                clock.advance(Duration::from_millis(850));
            }
            Choice::Reconnect(engine) => {
                scheduler.spawn(engines[engine].clone().reconnect(), false);
            }
            Choice::Unsubscribe(engine) => {
                let mut locked = lock(&world);
                if !locked.hears_an_old_one(engine) {
                    budget.unsubscriptions -= 1;
                }
                locked.unsubscribe(engine);
                drop(locked);
                engines[engine].protocol.unsubscribed();
            }
            Choice::Subscribe(engine) => {
                lock(&world).subscribe(engine);
                engines[engine].protocol.subscribed();
            }
        }
        engines[0].acknowledge();
    }
    let mut world = lock(&world);
    let mut violation = world.violation.take();
    if violation.is_none() && phase < 3 {
        violation = Some(format!("no end in sight, with {} tasks unfinished", scheduler.unfinished()));
    }
    drop(world);
    (trace.0, violation)
}

/// Adds what can go wrong, and what mends it.
fn trouble(choices: &mut Vec<Choice>, budget: &Budget, world: &Shared, scheduler: &mut Scheduler) {
    let world = lock(world);
    if budget.faults > 0 {
        for at in 0..world.ops.len() {
            let fates = world.fates(at, true).into_iter().filter(|fate| !matches!(fate, Fate::Execute(_)));
            choices.extend(fates.map(|fate| Choice::Fate(at, fate)));
        }
    }
    if budget.evictions > 0 {
        choices.extend([Choice::Evict(true), Choice::Evict(false), Choice::Forget(0), Choice::Forget(1)]);
    }
    if budget.restarts > 0 {
        choices.extend([Choice::Restart, Choice::Restart, Choice::Promote, Choice::FlushAll, Choice::Save]);
    }
    if budget.ticks > 0 {
        choices.push(Choice::Tick);
    }
    if budget.drops > 0 {
        choices.extend(scheduler.droppable().map(Choice::Drop));
    }
    choices.extend((0..scheduler.timers()).map(Choice::Fire));
    for engine in 0..2 {
        let here = &world.connections[engine];
        if !here.up {
            choices.push(Choice::Reconnect(engine));
        }
        if world.tells_an_old_one(engine) && here.up {
            choices.push(Choice::Leave(engine));
        }
        if !here.subscribed {
            choices.push(Choice::Subscribe(engine));
        } else if budget.unsubscriptions > 0 || world.hears_an_old_one(engine) {
            choices.push(Choice::Unsubscribe(engine));
        }
    }
}

/// What happens next.
#[derive(Debug, Clone, Copy)]
enum Choice {
    Step(usize),
    Fate(usize, Fate),
    Deliver(usize),
    Spawn,
    Evict(bool),
    Forget(usize),
    FlushAll,
    Save,
    Restart,
    /// A replica becomes the master, and those on the old one do not know it yet.
    Promote,
    /// An engine loses its connection for commands to what is no master any more.
    Leave(usize),
    Drop(usize),
    Fire(usize),
    Tick,
    Reconnect(usize),
    Unsubscribe(usize),
    Subscribe(usize),
}

impl Choice {
    fn is_slow(self, slow: u64) -> bool {
        match self {
            Self::Step(task) => slow >> (task % 32) & 1 == 1,
            Self::Deliver(engine) => slow >> (32 + engine) & 1 == 1,
            _ => false,
        }
    }

    fn number(self) -> u64 {
        match self {
            Self::Step(task) => task as u64,
            Self::Fate(op, Fate::Execute(shard)) => 1_000 + op as u64 * 10 + shard as u64,
            Self::Fate(op, Fate::LostBefore) => 2_000 + op as u64,
            Self::Fate(op, Fate::LostAfter) => 3_000 + op as u64,
            Self::Fate(op, Fate::Late) => 4_000 + op as u64,
            Self::Deliver(engine) => 5_000 + engine as u64,
            Self::Spawn => 5_010,
            Self::Evict(token) => 5_020 + u64::from(token),
            Self::Forget(engine) => 5_030 + engine as u64,
            Self::FlushAll => 5_040,
            Self::Save => 5_050,
            Self::Restart => 5_060,
            Self::Promote => 5_110,
            Self::Leave(engine) => 5_120 + engine as u64,
            Self::Drop(task) => 6_000 + task as u64,
            Self::Fire(timer) => 7_000 + timer as u64,
            Self::Tick => 5_070,
            Self::Reconnect(engine) => 5_080 + engine as u64,
            Self::Unsubscribe(engine) => 5_090 + engine as u64,
            Self::Subscribe(engine) => 5_100 + engine as u64,
        }
    }
}

/// A hash of everything that happened (FNV-1a, by words).
struct Trace(u64);

impl Trace {
    fn add(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x0100_0000_01b3).rotate_left(5);
    }
}

fn deliver(engine: &Engine, world: &Shared) {
    let mut locked = lock(world);
    let here = &mut locked.connections[engine.id];
    let Some((bytes, version)) = here.queue.pop_front() else { return };
    drop(locked);
    engine.protocol.receive(&bytes);
    // Only now: it has arrived.
    let mut locked = lock(world);
    let here = &mut locked.connections[engine.id];
    here.told = here.told.max(version);
}

/// Runs everything to its end, in order.
fn drain(scheduler: &mut Scheduler, world: &Shared, engines: &[Engine; 2]) {
    loop {
        if let Some(task) = { scheduler.runnable().next() } {
            scheduler.step(task);
            continue;
        }
        let mut locked = lock(world);
        if locked.ops.is_empty() {
            drop(locked);
            break;
        }
        let fate = locked.fates(0, false)[0];
        locked.happen(0, fate);
    }
    for engine in engines {
        while !lock(world).connections[engine.id].queue.is_empty() {
            deliver(engine, world);
        }
    }
}

/// How many schedules are run: more with `PIE_MODEL_SCHEDULES`.
fn wanted() -> u64 {
    std::env::var("PIE_MODEL_SCHEDULES").ok().and_then(|text| text.parse().ok()).unwrap_or(1_010_000)
}

#[test]
fn one_schedule_again() {
    if let Some(seed) = *TOLD.get_or_init(seed_to_tell) {
        assert_eq!(run(seed).1, None);
    }
}

#[test]
#[allow(clippy::print_stderr, reason = "the count is part of what the test shows")]
fn no_read_is_stale_in_a_million_interleavings() {
    let (wanted, threads) = (wanted(), std::thread::available_parallelism().map_or(2, usize::from));
    let next = AtomicU64::new(0);
    let distinct: Vec<Mutex<HashSet<u64>>> = (0..64).map(|_| Mutex::default()).collect();
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= wanted || !failures.lock().expect("not poisoned").is_empty() {
                        return;
                    }
                    let (trace, violation) = run(seed);
                    distinct[(trace % 64) as usize].lock().expect("not poisoned").insert(trace);
                    if let Some(violation) = violation {
                        failures.lock().expect("not poisoned").push((seed, violation));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().expect("not poisoned");
    assert!(failures.is_empty(), "seed and violation: {failures:#?}");
    let distinct: usize = distinct.iter().map(|part| part.lock().expect("not poisoned").len()).sum();
    eprintln!("model check: {wanted} schedules, {distinct} distinct interleavings, no stale read");
    assert!(distinct as u64 >= wanted.min(1_000_000), "only {distinct} of {wanted} schedules are distinct");
}

const MISTAKES: [Mistake; 18] = [
    Mistake::LateSnapshot,
    Mistake::LateToken,
    Mistake::MissingTokenOk,
    Mistake::BumpFirst,
    Mistake::NoOwnBump,
    Mistake::PublishFirst,
    Mistake::JoinAny,
    Mistake::JoinNoToken,
    Mistake::NoRunCheck,
    Mistake::TrustsMarksOfOthers,
    Mistake::NoSecondLook,
    Mistake::KeepsWhatTheOldOneSaid,
    Mistake::NoReconnectBump,
    Mistake::SetWithoutBump,
    Mistake::GlobIgnoresFlights,
    Mistake::StaleAcrossBump,
    Mistake::TagFoldedAway,
    Mistake::BackfillWithoutSnapshot,
];

#[test]
#[allow(clippy::print_stderr, reason = "how soon each is found is part of what the test shows")]
fn each_mistake_is_found() {
    const MOST: u64 = 400_000;
    let next = AtomicUsize::new(0);
    let report = Mutex::new(String::new());
    let missed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while let Some(made) = MISTAKES.get(next.fetch_add(1, Ordering::Relaxed)) {
                    mistake::make(Some(*made));
                    let found = (0..MOST).find_map(|seed| run(seed).1.map(|violation| (seed, violation)));
                    mistake::make(None);
                    match found {
                        Some((seed, violation)) => {
                            let mut report = report.lock().expect("not poisoned");
                            let _ = writeln!(report, "{made:?}: schedule {seed}: {violation}");
                        }
                        None => missed.lock().expect("not poisoned").push(*made),
                    }
                }
            });
        }
    });
    eprintln!("{}", report.into_inner().expect("not poisoned"));
    let missed = missed.into_inner().expect("not poisoned");
    assert!(missed.is_empty(), "not found in {MOST} schedules: {missed:?}");
}
