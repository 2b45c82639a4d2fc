//! How many threads the heavy calls use.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

/// The environment variable that sets the number of threads at start.
pub const VARIABLE: &str = "CANONSIM_NUM_THREADS";
/// What torchrun and cluster schedulers set, so that processes beside each other share the cores.
const COMMON_VARIABLE: &str = "OMP_NUM_THREADS";

/// 0 means: not set by the program.
static CHOSEN: AtomicUsize = AtomicUsize::new(0);
/// The process whose rayon pool faer may use; 0 before its first use.
static POOL_OWNER: AtomicU32 = AtomicU32::new(0);
static DEFAULT: OnceLock<Default> = OnceLock::new();

/// Threads where the program sets none.
struct Default {
    threads: usize,
    /// The process that the number was found for; None where the environment sets it for all.
    process: Option<u32>,
}

impl Default {
    fn find() -> Self {
        let set = |name| std::env::var(name).ok().and_then(|value| value.trim().parse().ok()).filter(|&n| n > 0);
        match set(VARIABLE).or_else(|| set(COMMON_VARIABLE)) {
            Some(threads) => Self { threads, process: None },
            None => Self {
                threads: std::thread::available_parallelism().map_or(1, usize::from),
                process: Some(std::process::id()),
            },
        }
    }
}

/// Threads that the heavy calls use: what [`set_num_threads`] set, else `CANONSIM_NUM_THREADS`, else `OMP_NUM_THREADS`,
/// else the cores this process may run on. A process that was forked since this was first asked has siblings on the same
/// cores, as the workers of a data loader have: without a setting it uses one.
pub fn num_threads() -> usize {
    match CHOSEN.load(Ordering::Relaxed) {
        0 => match DEFAULT.get_or_init(Default::find) {
            Default { process: Some(process), .. } if *process != std::process::id() => 1,
            default => default.threads,
        },
        chosen => chosen,
    }
}

/// Sets the number of threads of every later call in this process. 0 goes back to the default.
pub fn set_num_threads(threads: usize) {
    CHOSEN.store(threads, Ordering::Relaxed);
}

thread_local! {
    /// Whether this thread works on one of several jobs.
    static AT_WORK: Cell<bool> = const { Cell::new(false) };
}

/// The threads that faer may use.
///
/// In a child forked after rayon's pool was started its threads are gone, and waiting for them would never end: there, and
/// where this crate's own threads are at work already, the calling thread works alone.
pub(crate) fn faer_threads() -> faer::Par {
    let threads = num_threads();
    if threads == 1 || AT_WORK.get() {
        return faer::Par::Seq;
    }
    let me = std::process::id();
    let owner = POOL_OWNER.compare_exchange(0, me, Ordering::Relaxed, Ordering::Relaxed).unwrap_or_else(|owner| owner);
    if owner == 0 || owner == me { faer::Par::rayon(threads) } else { faer::Par::Seq }
}

/// `jobs` through `work`, results in the order of the jobs, on several threads of this call's own where they are worth
/// it: none outlives it, so a fork is safe. What `work` calls uses no further threads.
pub(crate) fn in_parallel<J: Send, R: Send>(jobs: Vec<J>, worth_it: bool, work: impl Fn(J) -> R + Sync) -> Vec<R> {
    let threads = num_threads().min(jobs.len());
    if threads <= 1 || !worth_it || AT_WORK.get() {
        return jobs.into_iter().map(work).collect();
    }
    let mut done: Vec<Option<R>> = Vec::new();
    done.resize_with(jobs.len(), || None);
    {
        let queue = Mutex::new(jobs.into_iter().zip(done.iter_mut()));
        let drain = || {
            AT_WORK.set(true);
            loop {
                let next = queue.lock().map(|mut queue| queue.next());
                let Ok(Some((job, slot))) = next else { break };
                *slot = Some(work(job));
            }
            AT_WORK.set(false);
        };
        std::thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(drain);
            }
            drain();
        });
    }
    done.into_iter().flatten().collect()
}
