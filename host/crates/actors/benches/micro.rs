//! What the smallest things cost, inside the process: a call over the boundary, a
//! query, an idle actor. Prints medians of several runs; run by `make bench`.

use std::alloc::{GlobalAlloc, Layout, System};
use std::error::Error;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering};
use std::time::Instant;

use bytes::Bytes;
use host_actors::{Actors, Audience, Code, Limits, Only, Parts, Release, Request, Ruling, Ticket};
use host_journal::{Journal, Options};
use host_loader::{Inspector, Loader, Plugin};
use host_model::release::Start;
use host_model::{ActorId, Version};
use host_sdk::Plugin as _;
use minimal_v0_1_0::Minimal;

/// Runs of each measurement; the median counts.
const RUNS: usize = 9;
/// Calls in a run.
const CALLS: u32 = 1_000_000;
/// Actors in memory, when the last of them has come.
const ACTORS: u32 = 240_000;
/// So many are awake when what they cost is looked at for the first time, and then
/// after each further thousand: tables double on the way, so the worst moment is among
/// them.
const COUNTED_FROM: usize = 60_000;
/// The first of them, a multiple of a thousand, whose memory is not counted.
const WARM_UP: usize = 2_000;

/// Bars, as docs/benchmarks.md has them.
const BOUNDARY_NS_MAX: f64 = 10.0;
const QUERY_NS_MAX: f64 = 150.0;
const IDLE_BYTES_MAX: f64 = 250.0;

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(image) = std::env::args().skip_while(|arg| arg != "inspect").nth(1) {
        std::process::exit(host_loader::inspect_main(Path::new(&image)));
    }
    let folder = tempfile::tempdir()?;
    let loader = Loader::new(
        &folder.path().join("images"),
        Inspector {
            program: std::env::current_exe()?,
            args: vec!["inspect".to_owned()],
        },
    )?;
    let plugin = loader.load(&library()?, None)?;
    println!("median of {RUNS} runs, {CALLS} calls each");

    let (direct, over) = boundary(&plugin);
    bar(
        "a call over the boundary adds",
        over - direct,
        BOUNDARY_NS_MAX,
        "ns",
    );
    println!("    (direct {direct:.1} ns, over the boundary {over:.1} ns)");

    let data = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let alone = alone(&plugin);
    let actors = start(&data, &folder.path().join("host.db"), plugin)?;
    let query = data.block_on(data.spawn(query(Arc::clone(&actors))))?;
    bar(
        "a query of 8 bytes through an actor",
        middle(&query),
        QUERY_NS_MAX,
        "ns",
    );
    let (least, most) = (query[0], query[query.len() - 1]);
    println!("    (runs from {least:.1} to {most:.1} ns)");
    println!("    (of which the plugin and the boundary take {alone:.1} ns)");

    let idle = data.block_on(data.spawn(idle(Arc::clone(&actors))))?;
    let by_bytes = |a: &&(usize, f64), b: &&(usize, f64)| a.1.total_cmp(&b.1);
    let (count, most) = idle.iter().max_by(by_bytes).ok_or("nothing was counted")?;
    let (_, least) = idle.iter().min_by(by_bytes).ok_or("nothing was counted")?;
    bar(
        "an idle live actor with an empty state, at its worst",
        *most,
        IDLE_BYTES_MAX,
        "bytes",
    );
    println!("    (with {count} awake; at the best of {COUNTED_FROM} to {ACTORS}, {least:.1})");
    println!("    (by the counting allocator; malloc's own overhead not included)");
    actors.journal().close();
    Ok(())
}

fn bar(what: &str, found: f64, most: f64, unit: &str) {
    let verdict = if found <= most { "met" } else { "NOT MET" };
    println!("{what}: {found:.1} {unit} (at most {most:.0}: {verdict})");
}

/// Nanoseconds of `Plugin::check` called directly, and through the loader.
fn boundary(plugin: &Arc<Plugin>) -> (f64, f64) {
    let own = Minimal::new("x");
    let direct = median(|| {
        for _ in 0..CALLS {
            black_box(black_box(&own).check()).expect("it has no invariants");
        }
    });
    let state = plugin.new_state("x").expect("it makes states");
    let over = median(|| {
        for _ in 0..CALLS {
            let checked = black_box(&state).check();
            black_box(checked).expect("no fault").expect("no violation");
        }
    });
    (direct, over)
}

/// Nanoseconds of the query alone, without an actor around it.
fn alone(plugin: &Arc<Plugin>) -> f64 {
    let state = plugin.new_state("x").expect("it makes states");
    let call = host_loader::Call {
        key: "one",
        event: "eight",
        payload: b"",
        claims: b"",
        now_ms: 0,
        seed: 0,
        seq: 0,
        caller: host_loader::Caller::CLIENT,
        hops: 0,
    };
    median(|| {
        for _ in 0..CALLS {
            let answer = black_box(&state).query(black_box(&call));
            black_box(answer).expect("no fault").expect("no rejection");
        }
    })
}

/// The command that does nothing, and makes an actor exist.
fn touch(actor: &str) -> Request {
    Request {
        actor: actor.parse().expect("an id"),
        event: "touch".to_owned(),
        payload: Bytes::new(),
        only: Only::Either,
        claims: Bytes::new(),
        principal: String::new(),
        version: None,
        idempotency_key: None,
    }
}

/// Nanoseconds of a query, run by run, the least first.
async fn query(actors: Arc<Actors>) -> Vec<f64> {
    let request = touch("minimal:one");
    actors.call(request.clone()).await.expect("it is accepted");
    let request = Request {
        event: "eight".to_owned(),
        ..request
    };
    // Until the event is proven fast.
    for _ in 0..1_000 {
        actors.call(request.clone()).await.expect("it answers");
    }
    let mut runs = Vec::new();
    for _ in 0..RUNS {
        let began = Instant::now();
        for _ in 0..CALLS {
            let answer = match actors.query_now(black_box(&request)) {
                Some(answer) => answer,
                // A pause of the machine has cost it its proof, which it gains anew.
                None => actors.call(request.clone()).await,
            };
            black_box(answer).expect("it answers");
        }
        runs.push(per_call(began));
    }
    runs.sort_by(f64::total_cmp);
    runs
}

/// Bytes of an actor, by how many are awake.
async fn idle(actors: Arc<Actors>) -> Vec<(usize, f64)> {
    let ids: Vec<ActorId> = (0..ACTORS)
        .map(|i| format!("minimal:idle-{i}").parse().expect("an id"))
        .collect();
    let mut answers = Vec::new();
    let mut counted = Vec::new();
    for (n, id) in ids.iter().enumerate() {
        // The queues have found their size by now, and no actor is to pay for it.
        if n == WARM_UP {
            COUNTS.store(true, Ordering::SeqCst);
        }
        // Of an id of its own, as a client's is.
        let request = touch(id.as_str());
        let actors = Arc::clone(&actors);
        answers.push(tokio::spawn(async move { actors.call(request).await }));
        if n % 1_000 == 999 {
            for answer in answers.drain(..) {
                answer.await.expect("no panic").expect("it is accepted");
            }
            let awake = n + 1;
            if awake >= COUNTED_FROM {
                // The journal's own notes of the tails belong to what an actor costs.
                let bytes = ALLOCATED.load(Ordering::SeqCst);
                counted.push((awake, bytes as f64 / (awake - WARM_UP) as f64));
            }
        }
    }
    assert!(actors.awake() >= ids.len(), "all of them are awake");
    counted
}

fn median(mut run: impl FnMut()) -> f64 {
    let times = (0..RUNS).map(|_| {
        let began = Instant::now();
        run();
        per_call(began)
    });
    let mut times: Vec<f64> = times.collect();
    times.sort_by(f64::total_cmp);
    middle(&times)
}

fn per_call(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
}

/// The median of sorted runs.
fn middle(runs: &[f64]) -> f64 {
    runs[runs.len() / 2]
}

/// The plugin's library lies where this bench was built.
fn library() -> Result<PathBuf, Box<dyn Error>> {
    let own = std::env::current_exe()?;
    let target = own.ancestors().nth(2).ok_or("no target folder")?;
    let library = target.join("libminimal_v0_1_0.so");
    if !library.exists() {
        return Err(format!(
            "{} is not there; run `cargo build --release -p minimal-v0-1-0` first",
            library.display()
        )
        .into());
    }
    Ok(library)
}

fn start(
    data: &tokio::runtime::Runtime,
    store: &Path,
    plugin: Arc<Plugin>,
) -> Result<Arc<Actors>, Box<dyn Error>> {
    let (sender, done) = host_actors::channel();
    let options = Options {
        path: store.to_owned(),
    };
    let journal: Journal<Ticket> = Journal::open(options, sender)?;
    let release = Release {
        version: Version::new(0, 1, 0),
        plugins: [(
            "minimal".to_owned(),
            Ruling {
                code: Code::new(plugin),
                start: Start::Permanent,
                routes: Vec::new(),
                edges: Vec::new(),
                readable: Vec::new(),
            },
        )]
        .into(),
        before: Default::default(),
        installed: Vec::new(),
    };
    let actors = Actors::start(Parts {
        journal: Arc::new(journal),
        done,
        audience: Arc::new(Nobody),
        courier: Arc::new(host_actors::NoCourier),
        release,
        memory: Arc::new(host_actors::Boundless),
        limits: Limits::default(),
        sweepers: data.handle().clone(),
        data: data.handle().clone(),
    })?;
    Ok(actors)
}

/// Nobody listens.
struct Nobody;

impl Audience for Nobody {
    fn broadcast(&self, _: host_actors::News) {}
    fn switched(&self, _: &ActorId, _: &Version, _: &Version) {}
    fn crashed(&self, _: &ActorId, _: &str) {}
    fn topics(&self, _: &str) -> Vec<ActorId> {
        Vec::new()
    }
}

/// Bytes that were allocated, and not freed, since counting began.
static ALLOCATED: AtomicIsize = AtomicIsize::new(0);

/// Counting costs more than an allocation, so it does not run while time is measured.
static COUNTS: AtomicBool = AtomicBool::new(false);

fn count(bytes: isize) {
    if COUNTS.load(Ordering::Relaxed) {
        ALLOCATED.fetch_add(bytes, Ordering::Relaxed);
    }
}

struct Counting;

#[allow(unsafe_code, reason = "an allocator that counts is an allocator")]
// SAFETY: all four pass on to the system's allocator what they were given.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size.cast_signed() - layout.size().cast_signed());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(ptr, layout, size) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc_zeroed(layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;
