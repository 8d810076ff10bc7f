//! Calls a second over many connections, so many at once over each.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use crate::client::{Client, frame};

/// Connections.
pub(crate) const CONNECTIONS: usize = 64;

/// Threads that work on them, on as few cores.
const THREADS: usize = 2;

/// How long it is looked at, behind a beginning that does not count.
const WINDOW: Duration = Duration::from_secs(3);
const WARM: Duration = Duration::from_millis(500);

/// What is asked over a connection: its number, and that of the question.
pub(crate) type Ask<'a> = &'a (dyn Fn(usize, usize) -> String + Sync);

/// Asks over these connections in turn, `depth` questions at once each, and gives the
/// answers in a second; `frames` come for each. Each waits for its answers before it asks again.
pub(crate) fn measure(
    clients: Vec<Client>,
    depth: usize,
    frames: usize,
    ask: Ask<'_>,
) -> Result<f64> {
    let mut shares: Vec<Vec<(usize, Client)>> = (0..THREADS).map(|_| Vec::new()).collect();
    for (number, client) in clients.into_iter().enumerate() {
        shares[number % THREADS].push((number, client));
    }
    let begin = Barrier::new(THREADS);
    let counts: Result<Vec<usize>> = thread::scope(|scope| {
        let threads: Vec<_> = shares
            .into_iter()
            .map(|share| scope.spawn(|| work(share, depth, frames, ask, &begin)))
            .collect();
        let joined = threads.into_iter().map(|thread| {
            let joined = thread.join();
            joined.map_err(|_| anyhow!("a client's thread has panicked"))?
        });
        joined.collect()
    });
    Ok(counts?.into_iter().sum::<usize>() as f64 / WINDOW.as_secs_f64())
}

fn work(
    mut clients: Vec<(usize, Client)>,
    depth: usize,
    frames: usize,
    ask: Ask<'_>,
    begin: &Barrier,
) -> Result<usize> {
    let mut asked = 0;
    let mut next = |client: &mut Client, number: usize| -> Result<()> {
        let mut burst = Vec::new();
        for _ in 0..depth {
            burst.extend(frame(&ask(number, asked)));
            asked += 1;
        }
        client.send(&burst)
    };
    begin.wait();
    for (number, client) in &mut clients {
        next(client, *number)?;
    }
    let began = Instant::now();
    let mut answered = 0;
    while began.elapsed() < WARM + WINDOW {
        for (number, client) in &mut clients {
            client.take(depth * frames)?;
            if (WARM..WARM + WINDOW).contains(&began.elapsed()) {
                answered += depth;
            }
            next(client, *number)?;
        }
    }
    for (_, client) in &mut clients {
        client.take(depth * frames)?;
    }
    Ok(answered)
}
