//! What the child of a rehearsal may still do: compute, and talk over its one socket.
//!
//! It runs code that nobody has tried yet. Shut in two steps: [`shut_in`] before a
//! library is opened, [`shut`] behind the last one. From then on a socket, a new process
//! or thread, or a signal to another process ends the child; everything else that is not
//! needed to compute, such as opening a file, is refused (`EPERM`).
//!
//! - It runs when no one else wants to (`SCHED_IDLE`, and nice 19 besides), is the first
//!   to go when memory is short (`oom_score_adj` 1000), and ends with the thread that
//!   started it (`PR_SET_PDEATHSIG`).
//! - Its memory, its processor's time and its files are bounded; it leaves no core.
//!
//! The filter is made by `seccompiler`, which Firecracker's own filters come from.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use host_model::limits::{REHEARSAL_BYTES_MAX, REHEARSAL_BYTES_MIN, REHEARSAL_CPU_MAX};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use seccompiler::{
    SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};
use thread_priority::ThreadPriority;
use thread_priority::unix::{
    NormalThreadSchedulePolicy, ThreadSchedulePolicy, set_thread_priority_and_policy,
    thread_native_id,
};

/// Files open at once: what opening libraries takes, and some.
const FILES_MAX: u64 = 64;

/// Calls that a computation needs, whatever their arguments.
const ALLOWED: &[i64] = &[
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_futex,
    libc::SYS_sigaltstack,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_restart_syscall,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_getrandom,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_getrusage,
    libc::SYS_sched_yield,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// Calls that nothing which only computes makes by chance: they end the child.
const FATAL: &[i64] = &[
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_clone,
    libc::SYS_clone3,
    libc::SYS_unshare,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_kill,
    libc::SYS_tkill,
];

/// Those of [`FATAL`] that opening a library does not need either.
const SOCKETS: &[i64] = &[libc::SYS_socket, libc::SYS_connect, libc::SYS_bind];

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Before the first library is opened.
pub(super) fn shut_in() -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    fs::write("/proc/self/oom_score_adj", "1000")?;
    let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    // Where that is not allowed, being nice has to do.
    let _ = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle);
    rustix::process::nice(19)?;
    for (resource, max) in [
        (Resource::Core, 0),
        (Resource::Cpu, REHEARSAL_CPU_MAX.as_secs()),
        (Resource::As, memory_bytes()),
        (Resource::Nofile, FILES_MAX),
    ] {
        // Whoever started the host may have given less, which nobody may raise.
        let given = getrlimit(resource).maximum;
        let max = Some(given.map_or(max, |given| max.min(given)));
        let both = Rlimit {
            current: max,
            maximum: max,
        };
        setrlimit(resource, both)?;
    }
    // What it does with no_new_privs, too.
    filter(
        all(SOCKETS),
        SeccompAction::Allow,
        SeccompAction::KillProcess,
    )
}

/// Behind the last library.
pub(super) fn shut() -> io::Result<()> {
    // Of two filters the stricter answer counts. The list of what is allowed comes last,
    // for it allows no further filter.
    filter(all(FATAL), SeccompAction::Allow, SeccompAction::KillProcess)?;
    let mut rules = all(ALLOWED);
    let mapped = |call| {
        let not_executable = condition(2, SeccompCmpOp::MaskedEq(PROT_EXEC), 0)?;
        Ok::<_, io::Error>((call, vec![rule(vec![not_executable])?]))
    };
    rules.extend([mapped(libc::SYS_mmap)?, mapped(libc::SYS_mprotect)?]);
    // To end itself, as `abort` does.
    let own = u64::from(std::process::id());
    let to_itself = condition(0, SeccompCmpOp::Eq, own)?;
    rules.insert(libc::SYS_tgkill, vec![rule(vec![to_itself])?]);
    let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    filter(rules, refused, SeccompAction::Allow)
}

const PROT_EXEC: u64 = libc::PROT_EXEC.unsigned_abs() as u64;

fn all(calls: &[i64]) -> Rules {
    calls.iter().map(|call| (*call, Vec::new())).collect()
}

fn condition(argument: u8, how: SeccompCmpOp, value: u64) -> io::Result<SeccompCondition> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, how, value).map_err(io::Error::other)
}

fn rule(conditions: Vec<SeccompCondition>) -> io::Result<SeccompRule> {
    SeccompRule::new(conditions).map_err(io::Error::other)
}

fn filter(rules: Rules, others: SeccompAction, these: SeccompAction) -> io::Result<()> {
    let target = std::env::consts::ARCH.try_into();
    let target = target.map_err(io::Error::other)?;
    let filter = SeccompFilter::new(rules, others, these, target).map_err(io::Error::other)?;
    let program: seccompiler::BpfProgram = filter.try_into().map_err(io::Error::other)?;
    apply_filter(&program).map_err(io::Error::other)
}

/// What it may take: half of what is free, within bounds.
fn memory_bytes() -> u64 {
    let free = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text
            .lines()
            .find(|line| line.starts_with("MemAvailable:"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    });
    let half = free.map_or(REHEARSAL_BYTES_MAX, |kib| kib * 1024 / 2);
    half.clamp(REHEARSAL_BYTES_MIN, REHEARSAL_BYTES_MAX)
}
